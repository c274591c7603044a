"""The fields of a gate, as the command line takes them."""

from __future__ import annotations

import sys

import pytest
import typer

from kaon.cli import gate_form
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

FIELDS = [
    d.Parameter(name="share", type=d.VALUE_TYPE_FLOAT, constraint_cel="value <= 1.0"),
    d.Parameter(
        name="channel", type=d.VALUE_TYPE_STRING, default_json='"a"', choices_json=['"a"', '"b"']
    ),
    d.Parameter(name="note", type=d.VALUE_TYPE_STRING, optional=True),
]


def test_values_are_given_by_name() -> None:
    assert gate_form.filled(FIELDS, ["share=1", "channel=b"]) == {"share": 1.0, "channel": "b"}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ([], "the gate needs field 'share' (float): give it by -p share=..."),
        (["share=2"], "it must fulfil value <= 1.0"),
        (["share=1", "channel=c"], 'must be one of "a", "b"'),
        (["share=1", "chanel=a"], "the gate has no field 'chanel'"),
    ],
)
def test_what_is_missing_or_not_allowed_is_told(written: list[str], problem: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        gate_form.filled(FIELDS, written)
    assert problem in str(caught.value)


def test_at_a_terminal_what_is_missing_is_asked_for_until_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, asked = iter(["7", "0.5", "b", "null"]), []

    def answer(question: str, default: str | None = None) -> str:
        asked.append((question, default))
        return next(answers)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "prompt", answer)
    assert gate_form.filled(FIELDS, None) == {"share": 0.5, "channel": "b", "note": None}
    assert asked == [
        ("share: float", None),
        ("share: float", None),
        ("channel: string [a, b]", "a"),
        ("note: string?", "null"),
    ]
