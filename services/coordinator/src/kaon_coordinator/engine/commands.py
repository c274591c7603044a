"""What people ask of a run: cancel, pause, resume, retry, restart, mark, change of priority."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaon_coordinator.engine import run_ends, runs
from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.actions import RevokeReason
from kaon_coordinator.engine.bindings import typed
from kaon_coordinator.engine.counting import is_active, is_blocked
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.leases import lease_of, lose, revoke
from kaon_coordinator.engine.messages import Cancel, Mark, Restart, Retry, SetPriority
from kaon_coordinator.engine.readiness import ending, had_turn, in_turn
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.rerun import run_again
from kaon_coordinator.engine.resetting import plan
from kaon_coordinator.engine.rows import BlockRow, StepRow
from kaon_coordinator.engine.scopes import end_block, nodes_at, stop_scope
from kaon_coordinator.engine.state import BlockState, Node, ScopeState, StepState
from kaon_coordinator.engine.steps import end as end_step
from kaon_coordinator.engine.steps import output_difference, reissue
from kaon_coordinator.engine.stopping import request_stop
from kaon_coordinator.engine.subworkflows import tell_children, to_continue
from kaon_wire.definitions.bindings import declared_outputs
from kaonapi.run.v1 import command_pb2, history_pb2

NOT_BEGUN = "the run has not begun"


def cancel(decision: Decision, message: Cancel) -> None:
    """Stops the run, or what is under a path."""
    if message.path:
        _cancel_path(decision, message)
        return
    state = decision.state
    if state.ended or (state.cancel_requested and (state.force_stop or not message.force)):
        return
    # Nothing of it runs, and hooks have run when it ended before.
    paused, force = state.paused and not state.waits_since, message.force or state.waits_since > 0
    if state.root.nodes and not state.start_us:
        runs.begin_fork(decision)
    decision.emit(
        run_cancel_requested=history_pb2.RunCancelRequested(
            reason=message.reason, requester=message.requester, force=force
        )
    )
    if not state.start_us:
        run_ends.end(decision, t.CANCELLED, None)
        return
    if state.force_stop:
        for scope in sorted(state.scopes.values(), key=lambda each: -each.position):
            stop_scope(decision, scope)
    runs.stop(decision, paused=paused)


def _cancel_path(decision: Decision, message: Cancel) -> None:
    state = decision.state
    target: Node | ScopeState | None = state.node(message.path) or state.scopes.get(message.path)
    if target is None:
        problem = "there is no such step, block or cell"
    elif not state.start_us:
        problem = NOT_BEGUN
    elif state.ended or not _stoppable(decision, target):
        problem = f"it is {t.short(target.status)}"
    elif target.stop != t.NONE:
        return
    else:
        status = t.SKIPPED if message.skip else t.CANCELLED
        request_stop(
            decision,
            target,
            status,
            cause="command",
            requester=message.requester,
            reason=message.reason,
        )
        return
    refuse(decision, "cancel", message.path, problem, message.requester)


def _stoppable(decision: Decision, target: Node | ScopeState) -> bool:
    if isinstance(target, ScopeState):
        return target.status == t.RUNNING
    pending = target.status == t.PENDING and in_turn(target) and not ending(decision, target.scope)
    return is_active(target) or pending


def set_priority(decision: Decision, message: SetPriority) -> None:
    """Changes the run's priority; what waits for a runner is requested anew."""
    state = decision.state
    if state.ended:
        refuse(decision, "set_priority", "", f"the run is {t.short(state.status)}", message.requester)
        return
    if message.priority == state.priority:
        return
    decision.emit(
        run_priority_changed=history_pb2.RunPriorityChanged(
            priority=message.priority, requester=message.requester
        )
    )
    for step in list(state.steps.values()):
        if step.status == t.READY:
            reissue(decision, step, reason="reprioritized")
    tell_children(
        decision,
        command_pb2.RunCommand(
            set_priority=command_pb2.SetRunPriority(priority=message.priority),
            reason="its parent's was changed",
        ),
    )


def retry(decision: Decision, message: Retry) -> None:
    """Runs again what failed, was stopped, or never began because of that."""
    if 0 < message.asked <= decision.state.asked:
        # Its parent has asked twice.
        return
    if message.path and not _known(decision, message.path):
        refuse(decision, "retry", message.path, "there is no such step, block or cell", message.requester)
        return
    targets: list[Node] = []
    # Its parent goes on with it where it has failed; what it tolerated is not the parent's concern.
    if not message.asked or decision.state.status != t.SUCCEEDED:
        targets = list(_failures(decision, message.path)) or list(_never_begun(decision, message.path))
    _again(decision, "retry", message, targets, nothing="nothing has failed there")
    if message.asked and decision.state.ended:
        # It was refused: the parent is told once more how the run ended.
        run_ends.tell_parent(decision)


def _known(decision: Decision, path: str) -> bool:
    return decision.state.node(path) is not None or path in decision.state.scopes


def _failures(decision: Decision, path: str) -> Iterator[Node]:
    """Everything at or under a path that ended badly by itself, or was skipped because something else did."""
    nodes: list[Node] = [*decision.state.steps.values(), *decision.state.blocks.values()]
    for node in nodes:
        if not at_or_under(node.path, path):
            continue
        bad = node.status in t.BROKEN | {t.CANCELLED} or is_blocked(node)
        if bad and not (isinstance(node, BlockState) and _failed_inside(node)):
            yield node


def _never_begun(decision: Decision, path: str) -> Iterator[Node]:
    """What never began at or under a path because its scope was stopped before."""
    nodes: list[Node] = [*decision.state.steps.values(), *decision.state.blocks.values()]
    for node in nodes:
        stopped = node.scope.status in {t.CANCELLED, t.TIMED_OUT}
        if stopped and node.status == t.SKIPPED and not node.end_us and at_or_under(node.path, path):
            yield node


def _failed_inside(block: BlockState) -> bool:
    """Whether a block ended badly only because of its cells, or before all of them had begun."""
    if block.kind == "for_each" and block.begun:
        return block.status != t.FAILED or block.failed > 0
    return any(cell.status in t.BROKEN | {t.CANCELLED} for cell in block.cells.values())


def at_or_under(path: str, place: str) -> bool:
    """Whether a path is that of a place or of something inside of it; everything is inside of the empty place."""
    if not place or path == place:
        return True
    return path.startswith(place) and (place.endswith("/") or path[len(place)] in "/[#=")


def any_failed(rows: Iterable[StepRow | BlockRow], place: str = "") -> bool:
    """Whether one of a run's rows, at or under a place, is what a retry runs again."""
    return any(row.status in t.BROKEN | {t.CANCELLED} and at_or_under(row.path, place) for row in rows)


def restart(decision: Decision, message: Restart) -> None:
    """Runs a block, or all of a cell, again with everything after it."""
    targets = nodes_at(decision.state, message.path)
    if not targets:
        refuse(decision, "restart", message.path, "there is no such step, block or cell", message.requester)
        return
    _again(decision, "restart", message, targets, nothing="it has not begun")


def _again(
    decision: Decision, cause: str, message: Retry | Restart, targets: list[Node], *, nothing: str
) -> None:
    state = decision.state
    asked = message.asked if isinstance(message, Retry) else 0
    begun = [node for node in targets if node.status != t.PENDING and had_turn(node)]
    what = plan(begun)
    if state.status == t.CANCELLING:
        problem = "the run is being cancelled"
    elif not state.start_us:
        problem = NOT_BEGUN
    elif not begun:
        problem = nothing
    elif what.busy:
        first = what.busy[0]
        problem = f"{first.path} is {t.short(first.status)}: cancel it or wait for its end"
    else:
        run_again(
            decision,
            what,
            cause=cause,
            requester=message.requester,
            reason=message.reason,
            continued=to_continue(what.nodes.values()) if cause == "retry" else (),
            asked=asked,
        )
        return
    refuse(decision, cause, message.path, problem, message.requester, asked)


def mark(decision: Decision, message: Mark) -> None:
    """Settles a step or block by hand; who did it and why stays in the history."""
    node = decision.state.node(message.path)
    problem = "there is no such step or block" if node is None else _mark_problem(decision, node, message)
    if node is None or problem:
        refuse(decision, "mark", message.path, problem, message.requester)
        return
    status = t.Status(message.status)
    if node.status in t.TERMINAL:
        run_again(decision, plan([node]), cause="mark", requester=message.requester, reason=message.reason)
    decision.emit(
        block_marked=history_pb2.BlockMarked(
            path=node.path, status=status, requester=message.requester, reason=message.reason
        )
    )
    error = None
    if status == t.FAILED:
        error = user_error("Marked", f"{node.path}: marked by {message.requester}: {message.reason}")
    if isinstance(node, StepState):
        _settle_step(decision, node, status, message, error)
    else:
        outputs = typed(node.block.sub_workflow.outputs, message.outputs)
        end_block(decision, node, status, error, outputs)


def _settle_step(decision: Decision, step: StepState, status: t.Status, message: Mark, error: object) -> None:
    if step.status in {t.RUNNING, t.CANCELLING}:
        revoke(decision, lease_of(step), RevokeReason.STALE_LEASE)
        lose(decision, step, reason="marked", cut_off=True)
    end_step(decision, step, status, outputs=dict(message.outputs), error=error)  # type: ignore[arg-type]


def _mark_problem(decision: Decision, node: Node, message: Mark) -> str:
    if message.status not in {t.SUCCEEDED, t.FAILED, t.SKIPPED}:
        return "only SUCCEEDED, FAILED and SKIPPED can be marked"
    if not decision.state.start_us:
        return NOT_BEGUN
    if not had_turn(node):
        return "its turn as a hook has not come"
    if node.status in t.TERMINAL:
        busy = plan([node]).busy
        if busy or decision.state.status == t.CANCELLING:
            return f"{busy[0].path} runs after it: cancel it first" if busy else "the run is being cancelled"
    elif not in_turn(node) or ending(decision, node.scope):
        return "it has not its turn: what is around it ends or has not begun"
    elif isinstance(node, BlockState) and node.status == t.RUNNING:
        return "it runs: cancel it first, or mark what is inside"
    if message.status == t.SUCCEEDED and (problem := _output_problem(node, message)):
        return problem
    return decision.context.limits.too_large(message.outputs)


def _output_problem(node: Node, message: Mark) -> str:
    outputs = dict(message.outputs)
    if isinstance(node, StepState):
        return output_difference(node, outputs)
    missing = sorted(set(declared_outputs(node.block) or ()) - set(outputs))
    return f"outputs are missing: {', '.join(missing)}" if missing else ""
