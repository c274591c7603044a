"""Explains why predecessors keep a node from starting: which one failed, with which error, or why it was skipped."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_coordinator.engine.decision import user_error
from kaon_coordinator.engine.scopes.readiness import has_failed, missed_successes, start_holds
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import UPSTREAM_FAILED, is_blocked
from kaon_coordinator.engine.state.state import Node
from kaon_wire.definitions import conditions
from kaon_wire.texts import clauses
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# The type of the error of a node that is skipped, and that keeps nothing from starting.
SKIPPED = "Skipped"
# Rules of nodes that start only after failures.
_FOR_FAILURES = frozenset({d.TRIGGER_RULE_ANY_FAILED, d.TRIGGER_RULE_ALL_FAILED})
# Why hooks beside a block are skipped.
_NOTHING_HAPPENED = {
    d.TRIGGER_RULE_ANY_RUNNING: "has ended without having run",
    d.TRIGGER_RULE_ANY_RETRIED: "has ended without having been retried",
    d.TRIGGER_RULE_ANY_LATE: "has ended in time",
}
_NAMED = 5
_MESSAGE_CHARACTERS = 200


def none_succeeded(node: Node, before: Sequence[Node]) -> step_pb2.StepError:
    """Return the error of a node that fails because a predecessor failed and none succeeded."""
    told = clauses([_outcome(each) for each in sorted(before, key=_rank)], _NAMED)
    return user_error(
        UPSTREAM_FAILED, f"{node.path}: none of the blocks before it has succeeded: {told}"
    )


def skipped(node: Node, before: Sequence[Node]) -> step_pb2.StepError:
    """Return the error of a node that is skipped because of its predecessors.

    The error's details hold the failure at the root, if any; nodes that are skipped because of this node
    inherit it.
    """
    rule = node.scope.graph.rules[node.block.name]
    if rule in _FOR_FAILURES and not has_failed(list(before)):
        return user_error(SKIPPED, "none of the blocks before it has failed")
    if rule == d.TRIGGER_RULE_CONDITION and _is_unmet(node, before):
        condition = conditions.describe(node.scope.graph.starts[node.block.name])
        return user_error(SKIPPED, f"it starts when {condition}, and that has not come about")
    if rule in _NOTHING_HAPPENED:
        names = ", ".join(each.path for each in before[:_NAMED])
        return user_error(SKIPPED, f"{names} {_NOTHING_HAPPENED[rule]}")
    others = missed_successes(node) if rule == d.TRIGGER_RULE_CONDITION else []
    others = others or [each for each in before if each.status != t.SUCCEEDED] or list(before)
    other = min(others, key=_rank)
    error = user_error(UPSTREAM_FAILED, f"{node.path}: {_outcome(other)}")
    error.details = _cause(other)
    return error


def _is_unmet(node: Node, before: Sequence[Node]) -> bool:
    """Tell whether a node's start condition fails although nothing has failed and it misses no success."""
    return not has_failed(list(before)) and not start_holds(node, but_for_successes=True)


def left_out() -> step_pb2.StepError:
    """Return why a node is skipped in a run of only a part of its workflow."""
    return user_error(SKIPPED, "the run was submitted without it (only, until)")


def briefly(error: step_pb2.StepError | None) -> str:
    """Return an error in parentheses, on one line, after a space; empty when there is none."""
    if error is None:
        return ""
    text = " ".join(error.message.split())
    return f" ({error.type}: {text[:_MESSAGE_CHARACTERS]})"


def _rank(node: Node) -> int:
    """Sort failed predecessors before those that were skipped because of a failure."""
    if node.status in t.BROKEN:
        return 0
    return 1 if is_blocked(node) or node.status == t.CANCELLED else 2


def _outcome(node: Node) -> str:
    cause = _cause(node) if is_blocked(node) else ""
    told = f"{node.path} is {t.short(node.status)}"
    if cause:
        return f"{told}, since {cause}"
    return told if is_blocked(node) else told + briefly(node.error)


def _cause(node: Node) -> str:
    """Return the failure that a node is or was skipped for; empty when there is none."""
    if node.status in t.BROKEN:
        return f"{node.path} is {t.short(node.status)}{briefly(node.error)}"
    return node.error.details if is_blocked(node) and node.error is not None else ""
