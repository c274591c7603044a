"""Outputs that are lists and maps say what stands inside of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pytest

from kaon import Workflow, WorkflowError, steps
from kaon.cli import kinds
from kaonapi.workflow.v1 import definition_pb2 as d

INT = d.Shape(type=d.VALUE_TYPE_INT)
LIST = d.VALUE_TYPE_LIST


def declared(written: Any) -> d.Step:
    definition = Workflow("w", steps.shell("a", ["a"], outputs={"x": written})).definition()
    return definition.body.blocks[0].step


@pytest.mark.parametrize(
    ("written", "kind", "contents", "told"),
    [
        (list[int], LIST, INT, "list[int]"),
        ("list[int]", LIST, INT, "list[int]"),
        (
            dict[str, list[int]],
            d.VALUE_TYPE_MAP,
            d.Shape(type=LIST, of=INT),
            "map[list[int]]",
        ),
        (
            list[int | None],
            LIST,
            d.Shape(type=d.VALUE_TYPE_INT, optional=True),
            "list[int?]",
        ),
        (
            list[Literal["a", "b"]],
            LIST,
            d.Shape(type=d.VALUE_TYPE_STRING, choices_json=['"a"', '"b"']),
            "list[string]",
        ),
        (list[object], LIST, None, "list"),
        (list, LIST, None, "list"),
    ],
    ids=str,
)
def test_an_output_is_declared_with_what_stands_inside(
    written: Any, kind: int, contents: d.Shape | None, told: str
) -> None:
    step = declared(written)
    assert dict(step.outputs) == {"x": kind}
    assert dict(step.output_contents) == ({} if contents is None else {"x": contents})
    assert kinds.describe(d.Block(name="a", step=step)) == f"shell step gives x ({told})"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (int | None, "declared int?; an output is never null"),
        (Literal["a"], "has no choices"),
        (list[datetime], "declared list[datetime]; times, durations and artifacts do not stand"),
        ("map[list[dataset]]", "artifacts do not stand inside"),
        (list[set], "which is no type"),
    ],
    ids=str,
)
def test_what_cannot_stand_in_an_output_is_refused(written: Any, problem: str) -> None:
    with pytest.raises(WorkflowError) as raised:
        declared(written)
    assert problem in str(raised.value)
