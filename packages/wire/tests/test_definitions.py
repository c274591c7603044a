from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d


def step(name: str) -> d.Block:
    return d.Block(name=name, step=d.Step(type="shell"))


def nested(change: Callable[[d.WorkflowDefinition, d.Block], object]) -> d.WorkflowDefinition:
    """A step in a branch in a group, changed."""
    inner = step("inner")
    way = d.Case(condition=d.Binding(literal_json="true"), body=d.Graph(blocks=[inner]))
    branch = d.Block(name="way", branch=d.Branch(cases=[way]))
    around = d.Block(name="around", group=d.Group(body=d.Graph(blocks=[branch])))
    definition = d.WorkflowDefinition(name="w", body=d.Graph(blocks=[step("first"), around]))
    found = definition.body.blocks[1].group.body.blocks[0].branch.cases[0].body.blocks[0]
    change(definition, found)
    return definition


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda definition, block: setattr(block.step, "priority", 2**31 - 1),
            "inner: step.priority 2147483647: must be from -1000000000 to 1000000000",
        ),
        (
            lambda definition, block: block.step.resources.custom.update({"0.x": 2**40}),
            "inner: step.resources.custom[0.x] 1099511627776: must be from",
        ),
        (
            lambda definition, block: setattr(definition.body.blocks[1], "deadline_ms", 2**60),
            "around: deadline_ms 1152921504606846976: must be from 0",
        ),
        (
            lambda definition, block: setattr(definition, "timeout_ms", 2**60),
            "timeout_ms 1152921504606846976",
        ),
    ],
)
def test_what_is_out_of_its_bounds_is_named_with_its_block(
    change: Callable[[d.WorkflowDefinition, d.Block], object], told: str
) -> None:
    problems = validate(nested(change))
    assert [problem[: len(told)] for problem in problems] == [told]
