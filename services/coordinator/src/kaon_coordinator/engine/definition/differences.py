"""What differs between two versions of a workflow, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaon_coordinator.engine.definition.compiled import (
    BODY,
    CompiledGraph,
    CompiledWorkflow,
)
from kaonapi.workflow.v1 import definition_pb2 as d

# What may differ although a block has run, because it does not determine what the block gives: how it is
# scheduled, and the bodies, whose blocks are compared one by one. The version of a sub-workflow changes with every
# change of its code, which is like the code of a step.
_FREE = {
    "step": (
        [
            "retry",
            "timeout_ms",
            "pool",
            "resources",
            "labels",
            "priority",
            "isolation",
            "tags",
            "memo",
            "exclusive",
            "datasets",
        ]
    ),
    "for_each": ["body", "max_concurrency", "failure", "on_error"],
    "repeat": ["body", "backoff_ms", "backoff_factor", "max_backoff_ms"],
    "group": ["body", "on_error"],
    "sub_workflow": ["version"],
    "gate": ["timeout_ms", "on_timeout", "default_json"],
    "branch": [],
}
# What people call the fields.
_NAMES = {
    "config_json": "settings",
    "requirements_file": "requirements",
    "until": "condition",
    "as_long_as": "condition",
}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a block differs from the block of this name in the other version."""

    # Completes "the block ...", as in "has other inputs".
    what: str
    # It is another kind of block, or has its turn in another phase: nothing of an instance can be kept.
    replaced: bool = False


def differences(old: CompiledWorkflow, new: CompiledWorkflow) -> Mapping[str, Difference]:
    """Return the blocks that stand at the same place in both versions and differ in what determines their results."""
    before, after = dict(_blocks(old.root)), dict(_blocks(new.root))
    found = {}
    for name, block in before.items():
        if name in after and old.chains[name] == new.chains[name]:
            difference = _difference(block, after[name])
            if difference is not None:
                found[name] = difference
    return found


def names(workflow: CompiledWorkflow) -> Iterator[tuple[str, ...]]:
    """Return the places of all blocks: the names of their enclosing blocks and their own."""
    return iter(workflow.chains.values())


def _blocks(graph: CompiledGraph) -> Iterator[tuple[str, d.Block]]:
    yield from graph.blocks.items()
    for bodies in graph.inner.values():
        for body in bodies.values():
            yield from _blocks(body)


def _difference(old: d.Block, new: d.Block) -> Difference | None:
    was, now = old.WhichOneof("kind") or "", new.WhichOneof("kind") or ""
    if was != now:
        return Difference(what=f"is another kind of block: {now}, not {was}", replaced=True)
    if (old.phase or BODY) != (new.phase or BODY):
        return Difference(what="has its turn in another phase", replaced=True)
    rules = [block.trigger or d.TRIGGER_RULE_ALL_PASSED for block in (old, new)]
    if rules[0] != rules[1] or old.start != new.start:
        return Difference(what="has another trigger rule")
    first, second = _bound(old, was), _bound(new, was)
    changed = [
        _NAMES.get(field.name, field.name).replace("_", " ")
        for field in first.DESCRIPTOR.fields
        if _field(first, field.name) != _field(second, field.name)
    ]
    if not changed and _bound_later(old, was) != _bound_later(new, was):
        changed = ["policies that are known only at run time"]
    return Difference(what=f"has other {' and '.join(changed)}") if changed else None


def _bound_later(block: d.Block, kind: str) -> dict[str, bytes]:
    """Return the policies that are known only at run time and determine what the block gives."""
    return {
        field: binding.SerializeToString(deterministic=True)
        for field, binding in block.bound.items()
        if field.startswith(f"{kind}.") and field.split(".")[1] not in _FREE[kind]
    }


def _bound(block: d.Block, kind: str) -> d.Step:
    """Return the part of a block that determines its results."""
    part = type(getattr(block, kind))()
    part.CopyFrom(getattr(block, kind))
    for name in _FREE[kind]:
        part.ClearField(name)
    if isinstance(part, d.Branch):
        for case in part.cases:
            case.ClearField("body")
        part.otherwise.Clear()
    return part  # type: ignore[no-any-return]


def _field(part: d.Step, name: str) -> bytes:
    alone = type(part)()
    value = getattr(part, name)
    descriptor = part.DESCRIPTOR.fields_by_name[name]
    if descriptor.has_presence and not part.HasField(name):  # type: ignore[arg-type]
        return b""
    if hasattr(value, "MergeFrom") or hasattr(value, "extend"):
        getattr(alone, name).MergeFrom(value)
    else:
        setattr(alone, name, value)
    # A field that is set to nothing is not a field that is not set.
    return b"+" + alone.SerializeToString(deterministic=True)
