"""Locks: what blocks hold from their start to their end."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.engine.actions import TakePermits
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.state.bindings import Evaluate, resolve
from kaon_coordinator.engine.state.state import (
    BlockState,
    Node,
    Preparation,
    RunState,
    StepState,
)
from kaon_wire import canonical
from kaon_wire.errors import KaonError

PREFIX = "lock:"
# The policy that says the tags of a step.
TAGS = "step.tags"
# Characters of a lock's key.
_LONGEST = 200


def wanted(state: RunState, node: Node, evaluate: Evaluate) -> Mapping[str, int]:
    """Return the permits of a node's locks, each with its bound.

    Raises:
        KaonError: A key has no value, or none that can be a key.
    """
    return {
        f"{PREFIX}{lock.name}{_suffix(lock.name, resolve(state, node.scope, lock.key, evaluate))}"
        if lock.HasField("key")
        else f"{PREFIX}{lock.name}": lock.limit or 1
        for lock in node.block.locks
    }


def may_hold(node: Node) -> bool:
    """Tell whether a node may hold permits, or wait for some: those of its tags and locks."""
    if not isinstance(node, StepState):
        return bool(node.block.locks)
    if node.spec.tags or node.spec.has_locks:
        return True
    bound = node.scope.graph.bound
    return bool(bound) and any(field == TAGS for field, _ in bound.get(node.block.name, ()))


def _suffix(name: str, value_json: str) -> str:
    value = canonical.loads(value_json)
    if value is None:
        raise KaonError(f"the key of lock {name!r} is null")
    text = value if isinstance(value, str) else value_json
    if len(text) > _LONGEST:
        raise KaonError(
            f"the key of lock {name!r} has {len(text)} characters; at most {_LONGEST} are possible"
        )
    if not text.isprintable():
        raise KaonError(f"the key of lock {name!r} is {text!r}; use printable characters")
    return f"/{text}"


def request(decision: Decision, block: BlockState) -> None:
    """Request the locks of a block, unless that was done.

    Raises:
        KaonError: A key has no value, or none that can be a key.
    """
    state = decision.state
    if block.path in state.transient.preparing:
        return
    keys = wanted(state, block, decision.context.evaluate)
    state.transient.preparing[block.path] = Preparation(
        inputs={key: str(bound) for key, bound in keys.items()}, awaits="permits", asked=state.seq
    )
    decision.act(TakePermits(path=block.path, asked=state.seq, keys=tuple(keys), bounds=keys))
