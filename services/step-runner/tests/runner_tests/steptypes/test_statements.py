"""Scripts are split into statements, and values can only become literals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon_runner.children.statements import UnknownName, bind, literal, split


def test_statements_are_split_outside_of_quotes_and_comments() -> None:
    script = "SELECT ';' AS a; -- one; two\n/* three; */ SELECT \"x;y\", `c;d` ;;\n"
    assert split(script) == ["SELECT ';' AS a", 'SELECT "x;y", `c;d`']


def test_a_hint_is_kept() -> None:
    assert split("SELECT /*+ BROADCAST(a) */ 1") == ["SELECT /*+ BROADCAST(a) */ 1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"),
        (True, "TRUE"),
        (False, "FALSE"),
        (-3, "-3"),
        (0.25, "0.25"),
        ("US", "'US'"),
        ("it's", r"'it\u0027s'"),
        ("\\' OR 1=1 -- ", r"'\u005c\u0027 OR 1=1 -- '"),
        ("${env:HOME}", r"'\u0024{env:HOME}'"),
    ],
)
def test_values_become_literals(value: object, expected: str) -> None:
    assert literal(value) == expected


@pytest.mark.parametrize("value", [[1], {"a": 1}, float("nan"), float("inf")])
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        literal(value)


def test_both_forms_of_a_name_are_bound_and_percent_signs_are_left_alone() -> None:
    statement = "SELECT 5 % 2 FROM t WHERE a LIKE 'x%' AND b = %(region)s AND c = :least"
    assert bind(statement, {"region": "US", "least": 3}) == (
        "SELECT 5 % 2 FROM t WHERE a LIKE 'x%' AND b = 'US' AND c = 3"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ':region', \"%(region)s\", `:region`",
        "SELECT CAST(NULL AS STRUCT<a:region>), x::region",
        "SELECT '12:region'",
    ],
)
def test_what_only_looks_like_a_name_is_left_alone(statement: str) -> None:
    assert bind(statement, {"region": "US"}) == statement


def test_an_unknown_name_says_which_are_known() -> None:
    with pytest.raises(UnknownName, match=r"%\(regoin\)s.* it has: least, region"):
        bind("SELECT %(regoin)s", {"region": "US", "least": 3})


@given(st.text())
def test_no_text_can_leave_its_literal(text: str) -> None:
    found = literal(text)
    assert re.fullmatch(r"'[^'\"$`;\x00-\x1f]*'", found)
    # Every backslash begins one of our escapes, so none can take the closing quote with it.
    assert "\\" not in re.sub(r"\\u[0-9a-f]{4}", "", found)
    assert re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), found[1:-1]) == text
