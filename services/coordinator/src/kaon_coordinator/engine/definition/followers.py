"""The steps that may follow a step by succession, found once per version: what makes them READY is its success alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

_RULES = frozenset({d.TRIGGER_RULE_ALL_PASSED, d.TRIGGER_RULE_ALL_SUCCEEDED})
# Sources of bindings whose values are known, at the latest, when what they name has ended.
_KNOWN = frozenset({"literal_json", "output", "parameter", "item", "outcome", "run_info"})
_DEFAULT_POOL = "default"
# What the SDK makes of `value["key"]` and `value[0]`.
_ELEMENT = re.compile(r"value\[(\"(?:[^\"\\]|\\.)*\"|[0-9]+)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """An output of a block, or an element of it."""

    reference: d.OutputReference
    # From the outside in, each as JSON.
    keys: tuple[str, ...] = ()


def followers(
    blocks: Mapping[str, d.Block],
    successors: Mapping[str, Sequence[str]],
    predecessors: Mapping[str, Sequence[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
    phases: Mapping[str, d.Phase.ValueType],
) -> dict[str, str]:
    """Return for each step of a graph the step that may follow it, if there is one: the first of several."""
    found: dict[str, str] = {}
    for name, block in blocks.items():
        if not block.HasField("step"):
            continue
        for after in successors[name]:
            alone = len(predecessors[after]) == 1 and rules[after] in _RULES
            if alone and phases[after] == phases[name] and _may_follow(block, blocks[after]):
                found[name] = after
                break
    return found


def places(following: Mapping[str, str]) -> dict[str, int]:
    """Return for each step that may follow another one how many may come before it, one after the other.

    Args:
        following: By step: the step that may follow it.
    """
    found: dict[str, int] = {}
    for first in following.keys() - set(following.values()):
        place, name = 1, following.get(first)
        while name is not None:
            found[name] = place
            place, name = place + 1, following.get(name)
    return found


def _may_follow(leader: d.Block, block: d.Block) -> bool:
    step = block.step
    return (
        block.HasField("step")
        and not step.exclusive
        # A step that serves ends only when nobody needs it.
        and not step.serves
        and not leader.step.serves
        and not step.tags
        and not block.locks
        # Its policies are known only to the engine, or the pool and the priority of the one before it are.
        and not block.bound
        and not leader.bound
        and not step.memo.enabled
        and (step.pool or _DEFAULT_POOL) == (leader.step.pool or _DEFAULT_POOL)
        and step.priority >= leader.step.priority
        and all(_is_plain(binding) for binding in step.inputs.values())
    )


def _is_plain(binding: d.Binding) -> bool:
    """Tell whether a binding can be resolved without an expression, except one that only selects an element."""
    match binding.WhichOneof("source"):
        case "expression":
            return selection(binding) is not None
        case "list":
            return all(_is_plain(each) for each in binding.list.bindings)
        case "map":
            return all(_is_plain(each) for each in binding.map.bindings.values())
        case "last":
            return _is_plain(binding.last.fallback)
        case source:
            return source in _KNOWN


def selection(binding: d.Binding) -> Selection | None:
    """Return what a binding selects of an output; None when it is not of this kind."""
    if binding.HasField("output"):
        return Selection(reference=binding.output)
    if not binding.HasField("expression"):
        return None
    matched = _ELEMENT.fullmatch(binding.expression.cel)
    variables = binding.expression.variables
    if matched is None or variables.keys() != {"value"}:
        return None
    inner = selection(variables["value"])
    if inner is None or not _is_json(matched[1]):
        return None
    return Selection(reference=inner.reference, keys=(*inner.keys, matched[1]))


def _is_json(text: str) -> bool:
    try:
        canonical.loads(text)
    except InvalidValue:
        return False
    return True
