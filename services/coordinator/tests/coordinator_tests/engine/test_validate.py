from __future__ import annotations

import pytest

from kaon_coordinator.engine.definition.limits import Limits
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, repeat, step, workflow


def problems(body: d.Graph, limits: Limits | None = None) -> str:
    return "\n".join(validate(workflow(body), limits or Limits()))


def test_a_good_definition_has_no_problems() -> None:
    body = chain(
        step("a"),
        for_each("f", output("a"), chain(step("b", x=d.Binding(item="item")))),
        step("c", x=output("b")),
    )
    assert problems(body) == ""


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (d.Graph(), "workflow: nothing to run"),
        (chain(step("A b")), "block name 'A b'"),
        (d.Graph(blocks=[step("a"), step("a")]), "a: this name is used twice"),
        (
            chain(step("a", x=output("b"))),
            "a: input 'x': the workflow has no step, gate or sub-workflow 'b'",
        ),
        (chain(step("a"), step("b", x=output("a", "nope"))), "has no output 'nope' (it has: out)"),
        (chain(step("a", x=d.Binding(parameter="p"))), "the workflow has no parameter 'p'"),
        (chain(step("a", x=d.Binding(item="i"))), "no foreach around it has an item 'i'"),
        (chain(step("a", x=d.Binding())), "the binding is empty"),
        (chain(step("a", x=d.Binding(literal_json="{"))), "a: input 'x': not JSON"),
        (chain(repeat("r", chain(step("a")), literal(True), 0)), "max_iterations must be from 1"),
        (chain(d.Block(name="x")), "x: neither a step nor"),
        (
            d.Graph(
                blocks=[step("a"), step("b")],
                edges=[d.Edge(source="a", target="b"), d.Edge(source="b", target="a")],
            ),
            "wait for one another in a circle",
        ),
        (d.Graph(blocks=[step("a")], edges=[d.Edge(source="a", target="z")]), "no block 'z' here"),
    ],
)
def test_a_mistake_is_told_with_its_place(body: d.Graph, text: str) -> None:
    assert text in problems(body)


def test_all_problems_are_told_at_once() -> None:
    body = chain(step("A", x=output("q")), step("b", x=d.Binding(parameter="p")))
    assert len(validate(workflow(body))) == 3


def test_a_definition_beyond_the_limits_names_them() -> None:
    assert "definition_bytes" in problems(chain(step("a")), Limits(definition_bytes=10))
    deep = chain(step("a"))
    for level in range(3):
        deep = chain(repeat(f"r{level}", deep, literal(True)))
    assert "nesting_depth" in problems(deep, Limits(nesting_depth=2))


def test_labels_are_checked_by_who_knows_them() -> None:
    bad = step("a", x=d.Binding(expression=d.Expression(cel="1 +")))
    bad.step.labels.append("==")
    found = validate(workflow(chain(bad)), check_label=lambda text: "worse")
    assert found == [
        "a: label '==': worse",
        "a: input 'x': expression '1 +': it ends too early",
    ]


@pytest.mark.parametrize(
    ("cel", "told"),
    [
        ("xs.joyn(',')", "there is no function 'joyn'; did you mean join?"),
        ("xs.join(1)", "join(list, int): it is called as join(list, string) or join(list)"),
        ("xs + 1", "there is no list + int"),
        ("b + 1", "there is no list + int"),
        ("n > 'a'", "there is no int > string"),
        ("n.size()", "size(int): it is called as"),
        ("n ? 1 : 2", "a condition must be true or false, not int"),
        ("xs.filter(x, x.joyn() > n)", "there is no function 'joyn'"),
        ("ys", "there is no variable 'ys'; did you mean xs?"),
        ("n * 1.5 < d && size(xs.join(',')) > 0 && b[0] != null", ""),
    ],
)
def test_names_and_kinds_in_expressions_are_checked(cel: str, told: str) -> None:
    kinds = {"n": d.VALUE_TYPE_INT, "xs": d.VALUE_TYPE_LIST, "d": d.VALUE_TYPE_FLOAT}
    definition = workflow(
        chain(
            step("a"),
            for_each("f", output("a"), chain(step("b"))),
            step("c", x=d.Binding(expression=d.Expression(cel=cel))),
        )
    )
    for name, kind in kinds.items():
        definition.parameters.add(name=name, type=kind)
    variables = definition.body.blocks[2].step.inputs["x"].expression.variables
    for name in kinds:
        variables[name].parameter = name
    # From outside of the foreach it is the list of the cells' values.
    variables["b"].CopyFrom(output("b"))
    found = validate(definition)
    assert told in "".join(found)
    assert bool(found) == bool(told)
