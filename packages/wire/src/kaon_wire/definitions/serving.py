"""The requirements of steps that serve those after them, and of what comes after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.message import Message

from kaon_wire.definitions.containers import container_problems
from kaonapi.workflow.v1 import definition_pb2 as d

# Types of steps that can say that they serve.
SERVING_TYPES = ("python", "shell", "docker")
# Rules that a step which begins to serve can satisfy; the others ask how it has ended.
_RULES = frozenset(
    {
        d.TRIGGER_RULE_UNSPECIFIED,
        d.TRIGGER_RULE_ALL_PASSED,
        d.TRIGGER_RULE_ALL_SUCCEEDED,
        d.TRIGGER_RULE_ANY_SUCCEEDED,
        d.TRIGGER_RULE_ANY_RUNNING,
        d.TRIGGER_RULE_ALWAYS,
    }
)
_TIMES = {"timeout_ms": "total_timeout", "deadline_ms": "deadline", "step.timeout_ms": "timeout"}


def serving_problems(graph: d.Graph) -> Iterator[str]:
    """Yield the problems of the steps of one graph that serve, and of their places in it."""
    blocks = {block.name: block for block in graph.blocks}
    for block in graph.blocks:
        if block.step.type == "docker":
            for problem in container_problems(
                block.step.config_json, block.step.serves, block.step.outputs
            ):
                yield f"{block.name}: {problem}"
        if not block.step.serves:
            continue
        yield from _own_problems(block)
        after = [edge.target for edge in graph.edges if edge.source == block.name]
        if not after:
            yield f"{block.name}: it serves what comes after it, and nothing does"
        for name in after:
            if name in blocks and blocks[name].trigger not in _RULES:
                yield f"{name}: it asks how {block.name} has ended, which serves until nothing else is left to do"


def _own_problems(block: d.Block) -> Iterator[str]:
    name, step = block.name, block.step
    if step.type not in SERVING_TYPES:
        able = ", ".join(SERVING_TYPES)
        yield f"{name}: a step of type {step.type!r} cannot serve others; steps of these types can: {able}"
    if step.memo.enabled:
        yield f"{name}: it serves, so an earlier execution cannot stand for it: it has no memo"
    if block.phase not in (d.PHASE_UNSPECIFIED, d.PHASE_BODY):
        yield f"{name}: a hook cannot serve; put it into a group, together with what it serves"
    set_times = {"timeout_ms": block.timeout_ms, "deadline_ms": block.deadline_ms}
    set_times["step.timeout_ms"] = step.timeout_ms
    for field, word in _TIMES.items():
        if set_times[field] or field in block.bound:
            yield f"{name}: it serves until nothing needs it, and has no {word}"


def items_problems(block: d.Block, blocks: Mapping[str, d.Block]) -> Iterator[str]:
    """Yield the problems of the items of a foreach: they are read again, and a step that serves may change its outputs."""
    for name in sorted(set(_named(block.for_each.items)) | set(_named(block.for_each.sweep))):
        if name in blocks and blocks[name].step.serves:
            yield f"{block.name}: its items cannot come from {name}, whose outputs change when it serves again"


def _named(message: Message) -> Iterator[str]:
    """Yield the names of the blocks whose outputs a message refers to."""
    if isinstance(message, d.OutputReference):
        yield message.step
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            values = [each for each in value.values() if isinstance(each, Message)]
        else:
            values = [value] if isinstance(value, Message) else list(value)
        for each in values:
            yield from _named(each)
