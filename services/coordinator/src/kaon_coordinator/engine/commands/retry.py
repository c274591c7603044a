"""The retry and restart commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.kinds.subworkflows import to_continue
from kaon_coordinator.engine.messages import Restart, Retry
from kaon_coordinator.engine.refusals import NOT_BEGUN, refuse
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.scopes import run_ends
from kaon_coordinator.engine.scopes.readiness import had_turn
from kaon_coordinator.engine.scopes.rerun import run_again
from kaon_coordinator.engine.scopes.scopes import nodes_at
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_blocked
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.engine.state.resetting import plan
from kaon_coordinator.engine.state.state import BlockState, Node, RunState


def retry(decision: Decision, message: Retry) -> None:
    """Run again all steps and blocks that failed, were stopped, or never began because of that."""
    if 0 < message.asked <= decision.state.asked:
        # The parent sent the same retry twice.
        return
    if message.path and not _known(decision, message.path):
        refuse(
            decision,
            "retry",
            message.path,
            "there is no such step, block or cell",
            message.requester,
        )
        return
    targets: list[Node] = []
    # The parent continues where this run failed; failures that this run tolerated are not retried.
    if not message.asked or decision.state.status != t.SUCCEEDED:
        targets = failed_nodes(decision.state, message.path)
    _again(decision, "retry", message, targets, nothing="nothing has failed there")
    if message.asked and decision.state.ended:
        # The retry was refused: tell the parent again how the run ended.
        run_ends.tell_parent(decision)


def _known(decision: Decision, path: str) -> bool:
    return decision.state.node(path) is not None or path in decision.state.scopes


def any_failed(rows: Iterable[StepRow | BlockRow], place: str = "") -> bool:
    """Tell whether a retry at or under a path would run any of a run's rows again."""
    return any(
        row.status in t.BROKEN | {t.CANCELLED} and at_or_under(row.path, place) for row in rows
    )


def failed_nodes(state: RunState, path: str = "") -> list[Node]:
    """Return what a retry at or under a path runs again: what failed, or else what never began because of a stop."""
    return list(_failures(state, path)) or list(_never_begun(state, path))


def _failures(state: RunState, path: str) -> Iterator[Node]:
    """Return all nodes at or under a path that failed by themselves, or were skipped because of a failure."""
    nodes: list[Node] = [*state.steps.values(), *state.blocks.values()]
    for node in nodes:
        if not at_or_under(node.path, path):
            continue
        bad = node.status in t.BROKEN | {t.CANCELLED} or is_blocked(node)
        if bad and not (isinstance(node, BlockState) and _failed_inside(node)):
            yield node


def _never_begun(state: RunState, path: str) -> Iterator[Node]:
    """Return all nodes at or under a path that never began because their scope was stopped."""
    nodes: list[Node] = [*state.steps.values(), *state.blocks.values()]
    for node in nodes:
        stopped = node.scope.status in {t.CANCELLED, t.TIMED_OUT}
        if (
            stopped
            and node.status == t.SKIPPED
            and not node.end_us
            and at_or_under(node.path, path)
        ):
            yield node


def _failed_inside(block: BlockState) -> bool:
    """Tell whether a block failed only because of its cells, or before all of them had begun."""
    if block.kind == "for_each" and block.begun:
        return block.status != t.FAILED or block.failed > 0
    return any(cell.status in t.BROKEN | {t.CANCELLED} for cell in block.cells.values())


def restart(decision: Decision, message: Restart) -> None:
    """Run a block, or all nodes of a cell, again, together with everything after it."""
    targets = nodes_at(decision.state, message.path)
    if not targets:
        refuse(
            decision,
            "restart",
            message.path,
            "there is no such step, block or cell",
            message.requester,
        )
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
