"""Expressions: what they mean, which mistakes are found before a run, and what they may cost."""

from __future__ import annotations

from typing import Any

import pytest

from kaon_wire.cel.budget import Budget
from kaon_wire.cel.errors import CelError, TooCostly
from kaon_wire.cel.program import problem, program

LIMIT = 20_000_000


def value_of(expression: str, **variables: Any) -> Any:
    return program(expression).value(variables, Budget(LIMIT))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("7 / -2", -3),
        ("-7 % 2", -1),
        ("1 + 1.5", 2.5),
        ("3 * 0.5 < 2", True),
        ("7 / 2.0", 3.5),
        ("1.0 / 0.0 > 1", True),
        ("1 == 1.0 && 1 in [1.0] && true != 1 && null != 0", True),
        ('{"a": [1, {"b": 2}]} == {"a": [1.0, {"b": 2}]}', True),
        ("[1, 2] + [3]", [1, 2, 3]),
        ('size("äöü")', 3),
        ('"äöü".size() + size([1]) + size({"a": 1})', 5),
        ("(1 / 0 == 1) || true", True),
        ("false && (1 / 0 == 1)", False),
        ("true ? 1 : 1 / 0", 1),
        ("-9223372036854775808", -(2**63)),
        ("0x1F + 1u", 32),
        ('"a\\u00e4\\n" + r"\\d" + \'"\' + """x"y"""', 'aä\n\\d"x"y'),
        ('{"a": {"b": 1}}.a.b + {"a": 1}["a"] + [5][0]', 7),
        ('has({"a": 1}.a) && !has({"a": 1}.b)', True),
        ("type(1) == int && type(1.0) == double && type('') == string", True),
        ("type([1])", "list"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
        ("[[1, 2], [3]].map(x, x.map(y, y + 1))", [[2, 3], [4]]),
        ("[1, 2].exists(x, x == 2) && [1, 2].all(x, x > 0)", True),
        ("[1, 2].exists_one(x, x > 1)", True),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ('{"b": 1, "a": 2}.map(key, key).sort()', ["a", "b"]),
        ("range(3) + range(5, 7) + range(3, 0, -2)", [0, 1, 2, 5, 6, 3, 1]),
        ("dates('2024-02-28', '2024-03-02')", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("dates('2026-01-01', '2026-02-01', 14)", ["2026-01-01", "2026-01-15", "2026-01-29"]),
        ("dates('2026-01-02', '2025-12-31', -1)", ["2026-01-02", "2026-01-01"]),
        ("dates('2026-01-02', '2026-01-01')", []),
        (
            "dates(timestamp('2026-01-01T22:00:00+01:00'), timestamp('2026-01-01T23:30:00Z'), duration('1h')).map(t, string(t))",
            [
                "2026-01-01T21:00:00Z",
                "2026-01-01T22:00:00Z",
                "2026-01-01T23:00:00Z",
            ],
        ),
        (
            "size(dates(timestamp('2026-01-02T00:00:00Z'), timestamp('2026-01-01T00:00:00Z'), duration('-30m')))",
            48,
        ),
        ('zip([1, 2], ["a", "b"], range(2))', [[1, "a", 0], [2, "b", 1]]),
        ("flatten([[1], [[2]], 3])", [1, [2], 3]),
        ('"a,b".split(",").map(x, x.upperAscii()).join("-")', "A-B"),
        ('" ab ".trim().replace("a", "cc").substring(1, 3)', "cb"),
        ('"abc".startsWith("a") && "abc".endsWith("c") && "abc".contains("b")', True),
        ('"abcb".indexOf("b") + "abcb".lastIndexOf("b")', 4),
        ('"7 of 9".matches("^[0-9]+ of")', True),
        ("[1, 1.0, true, [1], [1.0]].distinct()", [1, True, [1]]),
        ("sum([1, 2.5]) + min([3, 1]) + max(1, 2.0)", 6.5),
        ("[1, 2, 3].slice(1, 3).reverse().first()", 3),
        ("coalesce(null, {}.get('a', 5), 1 / 0)", 5),
        ("coalesce(null, null)", None),
        ('{"a": 1}.merge({"b": 2}).keys()', ["a", "b"]),
        ('int("12") + int(2.9) + round(2.6)', 17),
        ("string(1.0) + string(1.5) + string(true) + string(2)", "11.5true2"),
        ('timestamp("2026-01-31T23:00:00Z") + duration("1h30m")', "2026-02-01T00:30:00Z"),
        ('timestamp("2026-02-01") - timestamp("2026-01-01")', "2678400s"),
        ('timestamp("2026-02-01").format("%Y/%m") + string(duration("0.25s"))', "2026/020.25s"),
        ("// what follows\n 1", 1),
    ],
)
def test_an_expression_has_a_value(expression: str, value: Any) -> None:
    found = value_of(expression)
    assert found == value
    assert type(found) is type(value)
    assert problem(expression) == ""


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("1 +", "it ends too early"),
        ("a b", "at character 3: b does not belong here"),
        ("f(1", "the end stands where ')' should"),
        ("[1)", "stands where"),
        ("#", "cannot be read"),
        ('"\\q"', "is no escape"),
        ('"\\ud800"', "is no character"),
        ("9223372036854775808", "is above"),
        ("1e999", "no double can hold"),
        ("x.map(1, 2)", "map() takes a name"),
        ("has(x)", "has() takes a field"),
        ("(" * 60 + "1" + ")" * 60, "nested deeper than"),
        ("!" * 60 + "true", "signs in front"),
        ("x" * 5_000, "longer than 4096 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(expression: str, told: str) -> None:
    assert told in problem(expression)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("x.joyn(',')", "there is no function 'joyn'; did you mean join?"),
        ("x.fliter(y, y)", "there is no function 'fliter'; did you mean filter?"),
        ("n + s", "there is no int + string: convert one of them"),
        ("n < s", "there is no int < string"),
        ("!n", "the operand of ! must be true or false, not int"),
        ("x && true", "an operand of && must be true or false, not list"),
        ("-s", "-string: only a number"),
        ("s.a", "string has no entry 'a'"),
        ("x['a']", "list[string]: the index of a list is an int"),
        ("1 in s", "int in string: `in` looks into a list or a map"),
        ("s.map(y, y)", "map() goes over a list or a map, not string"),
        ("x.filter(y, 1)", "the condition of filter() must be true or false, not int"),
        ("{1: 2}", "the key of a map is a string, not int"),
        ("range(s)", "range(string): it is called as range("),
        ("dates(s, 1)", "dates(string, int): it is called as dates(string, string, int) or dates("),
        ("y", "there is no variable 'y'"),
    ],
)
def test_names_and_kinds_are_checked_before_a_run(expression: str, told: str) -> None:
    assert told in problem(expression, {"n": "int", "s": "string", "x": "list", "a": "any"})


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("x[1]", "the list has no index 1: it has 1 items"),
        ("{}.a", "there is no key 'a'"),
        ("x[0] + 'a'", "there is no int + string"),
        ("x.join(',')", "one item is int"),
        ("zip(x, [])", "lists of one length, not of 1, 0 items"),
        ("9223372036854775807 + x[0]", "integer overflow"),
        ("1 / (x[0] - 1)", "division by zero"),
        ("x[0] || false", "an operand of || must be true or false, not int"),
        ("min([])", "min() of no items"),
        ("[1, 'a'].sort()", "sort() takes numbers or strings of one kind"),
        ("int('x')", "int() cannot read 'x'"),
        ("'a'.matches('(')", "the pattern '(' is wrong"),
        ("timestamp('soon')", "timestamp() cannot read 'soon'"),
        ("range(1, 2, 0)", "range()"),
        ("dates('2026-01-01', '2026-01-02', 0)", "dates(): range() arg 3 must not be zero"),
        ("dates('2026-01-01', 'soon')", "'soon' is no date such as"),
        ("dates('2026-01-01', '2026-02-30')", "'2026-02-30' is no date such as"),
    ],
)
def test_what_has_no_value_says_why(expression: str, told: str) -> None:
    with pytest.raises(CelError) as error:
        value_of(expression, x=[1])
    assert told in str(error.value)


def test_a_filter_over_as_many_items_as_a_foreach_may_have_is_within_the_limit() -> None:
    budget, items = Budget(LIMIT), list(range(100_000))
    found = program("xs.filter(x, x % 1000 == 0).map(x, string(x))").value({"xs": items}, budget)
    assert found == [str(each) for each in range(0, 100_000, 1_000)]
    assert budget.spent < LIMIT // 2


def test_costs_grow_with_the_items_and_not_with_their_square() -> None:
    def cost(count: int) -> int:
        budget = Budget(10 * LIMIT)
        program("xs.filter(x, x > 1).map(x, x + 1)").value({"xs": list(range(count))}, budget)
        return budget.spent

    assert cost(40_000) < 4.1 * cost(10_000)


@pytest.mark.parametrize(
    "expression",
    [
        "xs.map(x, xs)",
        "xs.map(x, xs.map(y, x * y))",
        "range(100000000)",
        "range(900).map(n, dates('0001-01-01', '9999-12-31'))",
        "dates(timestamp('0001-01-01T00:00:00Z'), timestamp('9999-01-01T00:00:00Z'), duration('1us'))",
        "t.replace('x', t)",
        "range(5000).map(x, t).join('')",
        "xs.exists(x, xs.exists(y, y < 0)) || true",
        "zip(range(9000000), range(9000000))",
    ],
)
def test_an_evaluation_ends_when_its_budget_is_used_up(expression: str) -> None:
    budget = Budget(LIMIT)
    values = {"xs": list(range(5_000)), "t": "x" * 100_000}
    needed = {name: values[name] for name in program(expression).variables}
    with pytest.raises(TooCostly, match="the limit cel_cost is 20000000"):
        program(expression).value(needed, budget)


def test_a_macro_gives_the_outer_value_of_its_name_back() -> None:
    assert value_of("[1, 2].map(x, x + 1) + [x]", x=9) == [2, 3, 9]
    assert program("[1].map(x, x + y)").variables == {"y"}
