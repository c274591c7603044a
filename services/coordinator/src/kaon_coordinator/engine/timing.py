"""What falls due: time-outs and deadlines of runs, blocks and steps, gates, passes and grants."""

from __future__ import annotations

from collections.abc import Callable

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.actions import Timer, WatchTime
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.counting import is_active
from kaon_coordinator.engine.decide import Decision
from kaon_coordinator.engine.messages import Due
from kaon_coordinator.engine.state import BlockState, Node, RunState, StepState
from kaonapi.run.v1 import history_pb2


def begin_us(node: Node) -> int:
    """Since when the time of a node counts, in microseconds since the epoch; 0 before it has begun."""
    return node.begin_us if isinstance(node, StepState) else node.since_us or node.start_us


def begin_of_run(state: RunState) -> int:
    """Since when the time of a run counts, in microseconds since the epoch; 0 before it has begun."""
    return state.since_us or state.start_us


def watch_node(decision: Decision, node: Node) -> None:
    """Watches over a node's time-out and deadline, counted from its beginning."""
    block = node.block
    if block.timeout_ms and node.stop == t.NONE:
        due_us = later_us(begin_us(node), block.timeout_ms * 1000)
        decision.act(WatchTime(timer=Timer.TIMEOUT, path=node.path, due_us=due_us))
    if block.deadline_ms and not node.late:
        decision.act(WatchTime(timer=Timer.DEADLINE, path=node.path, due_us=_deadline_us(node)))


def due(decision: Decision, message: Due) -> None:
    """A watched time has come; one that no longer fits changes nothing."""
    if decision.context.now_us < message.due_us:
        decision.act(WatchTime(timer=message.timer, path=message.path, due_us=message.due_us))
        return
    _DUE[message.timer](decision, message)


def _active(decision: Decision, path: str) -> Node | None:
    node = decision.state.node(path)
    return node if node is not None and is_active(node) else None


def _timeout(decision: Decision, message: Due) -> None:
    from kaon_coordinator.engine.stopping import request_stop

    if not message.path:
        _run_timeout(decision, message)
        return
    node = _active(decision, message.path)
    if node is None or node.stop != t.NONE or decision.state.waits_since:
        return
    if later_us(begin_us(node), node.block.timeout_ms * 1000) == message.due_us:
        request_stop(decision, node, t.TIMED_OUT, cause="timeout")


def _run_timeout(decision: Decision, message: Due) -> None:
    from kaon_coordinator.engine.stopping import request_stop

    state = decision.state
    expected = later_us(begin_of_run(state), state.workflow.definition.timeout_ms * 1000)
    if state.waits_since:
        return
    if state.status in {t.RUNNING, t.PAUSED} and message.due_us == expected and state.root.stop == t.NONE:
        request_stop(decision, state.root, t.TIMED_OUT, cause="timeout")


def _deadline(decision: Decision, message: Due) -> None:
    state = decision.state
    if state.waits_since:
        return
    if message.path:
        node = _active(decision, message.path)
        missed = node is not None and not node.late and _deadline_us(node) == message.due_us
    else:
        expected = later_us(begin_of_run(state), state.workflow.definition.deadline_ms * 1000)
        missed = not state.ended and state.start_us > 0 and not state.late and expected == message.due_us
    if missed:
        missed_event = history_pb2.DeadlineMissed(path=message.path, deadline_us=message.due_us)
        decision.emit(deadline_missed=missed_event)


def _deadline_us(node: Node) -> int:
    return later_us(begin_us(node), node.block.deadline_ms * 1000)


def _gate(decision: Decision, message: Due) -> None:
    from kaon_coordinator.engine import gates

    block = decision.state.gates.get(message.path)
    if block is not None and block.due_us == message.due_us:
        gates.due(decision, block)


def _pass(decision: Decision, message: Due) -> None:
    from kaon_coordinator.engine import repeat

    block = decision.state.blocks.get(message.path)
    if isinstance(block, BlockState) and block.due_us == message.due_us:
        repeat.pass_due(decision, block)


def _grant(decision: Decision, message: Due) -> None:
    from kaon_coordinator.engine import leases

    step = decision.state.steps.get(message.path)
    if step is not None and step.status == t.RUNNING and step.grant_us <= message.due_us:
        leases.grant(decision, step)


_DUE: dict[Timer, Callable[[Decision, Due], None]] = {
    Timer.TIMEOUT: _timeout,
    Timer.DEADLINE: _deadline,
    Timer.GATE: _gate,
    Timer.PASS: _pass,
    Timer.GRANT: _grant,
}
