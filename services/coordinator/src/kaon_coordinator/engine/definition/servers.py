"""The steps of a graph that serve others, and who needs them, found once per version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kaonapi.workflow.v1 import definition_pb2 as d

_RULES = frozenset({d.TRIGGER_RULE_ALL_PASSED, d.TRIGGER_RULE_ALL_SUCCEEDED})


def needed_by(
    blocks: Mapping[str, d.Block],
    successors: Mapping[str, Sequence[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
) -> dict[str, tuple[str, ...]]:
    """Return for each step that serves the blocks that start only while it does, directly after it or later."""
    return {
        name: _all_after(name, successors, rules)
        for name, block in blocks.items()
        if block.step.serves
    }


def served_by(needed: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return for each block that needs them the steps that serve it, given what `needed_by` returns."""
    found: dict[str, list[str]] = {}
    for server, names in needed.items():
        for name in names:
            found.setdefault(name, []).append(server)
    return {name: tuple(servers) for name, servers in found.items()}


def _all_after(
    name: str,
    successors: Mapping[str, Sequence[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    stack = [name]
    while stack:
        for after in successors[stack.pop()]:
            if after not in found and rules[after] in _RULES:
                found[after] = None
                stack.append(after)
    return tuple(found)
