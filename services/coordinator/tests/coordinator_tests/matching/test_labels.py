"""Label expressions."""

from __future__ import annotations

import pytest

from kaon_coordinator.matching.labels import parse_label_expression
from kaon_wire.errors import InvalidValue

LABELS = {"spark": "4.3", "region": "eu", "docker": "true"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("spark=4.3", True),
        ("spark == 4.3", True),
        ("spark=3.5", False),
        ("spark!=3.5", True),
        ("spark != 4.3", False),
        ("gpu!=none", True),
        ("gpu=none", False),
        ("docker", True),
        ("gpu", False),
        ("!gpu", True),
        ("! docker", False),
        ("region in (eu, us)", True),
        ("region in (us)", False),
        ("region not in (us)", True),
        ("region not in (eu,us)", False),
        ("gpu in (a)", False),
        ("  spark=4.3  ", True),
    ],
)
def test_an_expression_holds_or_not(text: str, holds: bool) -> None:
    assert parse_label_expression(text).matches(LABELS) is holds


@pytest.mark.parametrize(
    "text", ["", "=", "a=", "=b", "a b", "a in ()", "a in b", "a in (b", "a>3", "a=b=c", "a!", "-a"]
)
def test_what_is_no_expression_is_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(InvalidValue, match="key in \\(a, b\\)"):
        parse_label_expression(text)
