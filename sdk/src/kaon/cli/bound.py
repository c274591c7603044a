"""Policies of blocks that are known only at run time, in words: what they are bound to, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kaon.cli import formatting
from kaon_wire import canonical
from kaon_wire.definitions.policies import policy
from kaonapi.workflow.v1 import definition_pb2 as d

# Characters of a source or value.
_SHOWN = 60


def sources(block: d.Block) -> str:
    """Describe what the policies of a block are bound to, after a comma each; empty when there are none."""
    kind = block.WhichOneof("kind") or ""
    return "".join(f", {each}" for each in _sources(kind, block.bound))


def sources_of_run(definition: d.WorkflowDefinition) -> list[str]:
    """Describe what the workflow's own policies are bound to."""
    return list(_sources("workflow", definition.bound))


def _sources(kind: str, bound: Mapping[str, d.Binding]) -> Iterator[str]:
    for field, binding in sorted(bound.items()):
        yield f"{_name(kind, field)} of {source(binding)}"


def values(kind: str, bound: Mapping[str, str]) -> str:
    """Describe the values that policies of a block got; empty when there are none."""
    told = (f"{_name(kind, field)} {_value(field, text)}" for field, text in sorted(bound.items()))
    return ", ".join(told)


def kind_of(bound: Mapping[str, str]) -> str:
    """Return a kind of block that has these policies."""
    inner = (
        field.partition(".")[0]
        for field in bound
        if "." in field and not field.startswith("locks.")
    )
    return next(inner, "group")


def _name(kind: str, field: str) -> str:
    found = policy(kind, field)
    return field if found is None else found.name


def source(binding: d.Binding) -> str:
    """Describe where a value comes from, in a few words."""
    match binding.WhichOneof("source"):
        case "parameter":
            text = f"parameter {binding.parameter}"
        case "item":
            text = f"item {binding.item}"
        case "output":
            text = f"{binding.output.step}[{binding.output.output}]"
        case "expression":
            text = binding.expression.cel
        case "literal_json":
            text = binding.literal_json
        case _:
            text = "values of the run"
    return _brief(text)


def _value(field: str, text: str) -> str:
    value = canonical.loads(text)
    if value is None:
        return "by default"
    if field.endswith("_ms"):
        return formatting.duration(value / 1000)
    if field.endswith("memory_bytes"):
        return formatting.size(value)
    return _brief(f"{value / 1000:g}" if field.endswith("cpu_milli") else text)


def _brief(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
