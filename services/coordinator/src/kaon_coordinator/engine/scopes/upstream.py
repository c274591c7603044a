"""Why the nodes before one keep it from starting, in words: which of them failed, by which error, or what they were skipped for."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_coordinator.engine.decision import user_error
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_blocked
from kaon_coordinator.engine.state.state import Node
from kaonapi.step.v1 import step_pb2

UPSTREAM_FAILED = "UpstreamFailed"
_NAMED = 5
_MESSAGE_CHARACTERS = 200


def none_succeeded(node: Node, before: Sequence[Node]) -> step_pb2.StepError:
    """The error of a node that fails because none of the nodes before it has succeeded, and one has failed."""
    told = "; ".join(_outcome(each) for each in sorted(before, key=_rank)[:_NAMED])
    more = f"; and {len(before) - _NAMED} more" if len(before) > _NAMED else ""
    return user_error(
        UPSTREAM_FAILED, f"{node.path}: none of the blocks before it has succeeded: {told}{more}"
    )


def skipped(node: Node, before: Sequence[Node]) -> step_pb2.StepError:
    """The error of a node that is skipped for what became of the nodes before it. Its details are the failure at the bottom of it,
    if there is one, which is handed on to what is skipped for this node."""
    others = [each for each in before if each.status != t.SUCCEEDED] or list(before)
    other = min(others, key=_rank)
    error = user_error(UPSTREAM_FAILED, f"{node.path}: {_outcome(other)}")
    error.details = _cause(other)
    return error


def briefly(error: step_pb2.StepError | None) -> str:
    """An error in parentheses, on one line, after a space; empty when there is none."""
    if error is None:
        return ""
    text = " ".join(error.message.split())
    return f" ({error.type}: {text[:_MESSAGE_CHARACTERS]})"


def _rank(node: Node) -> int:
    """What has failed is told first, then what was skipped for a failure."""
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
    """The failure that a node is or was skipped for; empty when there is none."""
    if node.status in t.BROKEN:
        return f"{node.path} is {t.short(node.status)}{briefly(node.error)}"
    return node.error.details if is_blocked(node) and node.error is not None else ""
