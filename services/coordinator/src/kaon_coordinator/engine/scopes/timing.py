"""Time-outs and deadlines of runs, blocks and steps: when they start to count and when they fall due."""

from __future__ import annotations

from kaon_coordinator.engine.actions import Timer, WatchTime
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import Due
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, StepState
from kaonapi.run.v1 import history_pb2


def begin_us(node: Node) -> int:
    """Return when the time of a node starts to count, in microseconds since the epoch; 0 before it has begun."""
    return node.begin_us if isinstance(node, StepState) else node.since_us or node.start_us


def begin_of_run(state: RunState) -> int:
    """Return when the time of a run starts to count, in microseconds since the epoch; 0 before it has begun."""
    return state.since_us or state.start_us


def watch_node(decision: Decision, node: Node) -> None:
    """Set the timers of a node's time-out and deadline, counted from its beginning."""
    block = node.block
    if block.timeout_ms and node.stop == t.NONE:
        due_us = later_us(begin_us(node), block.timeout_ms * 1000)
        decision.act(WatchTime(timer=Timer.TIMEOUT, path=node.path, due_us=due_us))
    if block.deadline_ms and not node.late:
        decision.act(WatchTime(timer=Timer.DEADLINE, path=node.path, due_us=_deadline_us(node)))


def watch_run(decision: Decision) -> None:
    """Set the timers of the run's time-out and deadline."""
    state = decision.state
    begin_us = begin_of_run(state)
    if state.timeout_ms:
        due_us = later_us(begin_us, state.timeout_ms * 1000)
        decision.act(WatchTime(timer=Timer.TIMEOUT, path="", due_us=due_us))
    if state.deadline_ms and not state.late:
        due_us = later_us(begin_us, state.deadline_ms * 1000)
        decision.act(WatchTime(timer=Timer.DEADLINE, path="", due_us=due_us))


def active_node(decision: Decision, path: str) -> Node | None:
    """Return the node at a path if it is active."""
    node = decision.state.node(path)
    return node if node is not None and is_active(node) else None


def is_unlocked(node: Node) -> bool:
    """Tell whether a node was opened again and waits for its locks: its time does not count."""
    return isinstance(node, BlockState) and node.unlocked


def deadline(decision: Decision, message: Due) -> None:
    """Record that the run, or the node at a path, has missed its deadline."""
    state = decision.state
    if state.waits_since:
        return
    if message.path:
        node = active_node(decision, message.path)
        missed = (
            node is not None
            and not node.late
            and not is_unlocked(node)
            and _deadline_us(node) == message.due_us
        )
    else:
        expected = later_us(begin_of_run(state), state.deadline_ms * 1000)
        missed = (
            not state.ended and state.start_us > 0 and not state.late and expected == message.due_us
        )
    if missed:
        missed_event = history_pb2.DeadlineMissed(path=message.path, deadline_us=message.due_us)
        decision.emit(deadline_missed=missed_event)


def _deadline_us(node: Node) -> int:
    return later_us(begin_us(node), node.block.deadline_ms * 1000)
