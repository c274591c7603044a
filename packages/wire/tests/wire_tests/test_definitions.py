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


LITERAL = d.Binding(literal_json="[1]")


def _set_expression(definition: d.WorkflowDefinition, block: d.Block, name: str) -> None:
    expression = d.Expression(cel="1", variables={name: LITERAL})
    block.step.inputs["x"].CopyFrom(d.Binding(expression=expression))


def _set_for_each(block: d.Block, name: str, sweep: d.Sweep | None) -> None:
    body = d.Graph(blocks=[step("each")])
    block.for_each.CopyFrom(
        d.ForEach(item=name, body=body, sweep=sweep, items=None if sweep else LITERAL)
    )


def _sample(name: str) -> d.Sweep:
    return d.Sweep(random=d.RandomSample(count=1, axes={name: d.Distribution(choice=LITERAL)}))


# Where a definition names values, and how the place is told.
NAMING: list[tuple[str, Callable[[d.WorkflowDefinition, d.Block, str], object]]] = [
    ("parameter", lambda w, block, name: w.parameters.add(name=name)),
    (
        "output of the workflow",
        lambda w, block, name: w.outputs[name].CopyFrom(
            d.Output(type=d.VALUE_TYPE_ANY, value=LITERAL)
        ),
    ),
    ("inner: input", lambda w, block, name: block.step.inputs[name].CopyFrom(LITERAL)),
    ("inner: output", lambda w, block, name: block.step.outputs.update({name: d.VALUE_TYPE_ANY})),
    ("inner: input 'x': variable", _set_expression),
    ("inner: item", lambda w, block, name: _set_for_each(block, name, None)),
    (
        "inner: axis",
        lambda w, block, name: _set_for_each(
            block, "i", d.Sweep(grid=d.Grid(axes={name: LITERAL}))
        ),
    ),
    ("inner: axis", lambda w, block, name: _set_for_each(block, "i", _sample(name))),
    (
        "inner: parameter",
        lambda w, block, name: block.sub_workflow.CopyFrom(
            d.SubWorkflow(workflow="o", params={name: LITERAL})
        ),
    ),
    (
        "inner: output",
        lambda w, block, name: block.sub_workflow.CopyFrom(
            d.SubWorkflow(workflow="o", outputs={name: d.VALUE_TYPE_ANY})
        ),
    ),
]


@pytest.mark.parametrize(("what", "change"), NAMING)
def test_values_have_names_that_are_identifiers(
    what: str, change: Callable[[d.WorkflowDefinition, d.Block, str], object]
) -> None:
    for name in ("x", "_x", "Users2", "class", "n" * 63):
        assert not validate(
            nested(lambda definition, block, name=name: change(definition, block, name))
        )  # type: ignore[misc]
    for name in ("", "a-b", "a.b", "2x", "a b", "../x", "x\n", "ü", "n" * 64):
        told = validate(
            nested(lambda definition, block, name=name: change(definition, block, name))
        )  # type: ignore[misc]
        assert (
            f"{what} {name!r}: use letters, digits and underscores, no digit first, at most 63 characters"
            in told
        )


def test_pools_have_names_that_topics_can_have() -> None:
    for pool in ("", "default", "gpu_a100", "GPU.large-2"):
        assert not validate(
            nested(lambda definition, block, pool=pool: setattr(block.step, "pool", pool))
        )  # type: ignore[misc]
    for pool in ("a b", "a/b", "-a", "a\n", "p" * 64):
        told = validate(
            nested(lambda definition, block, pool=pool: setattr(block.step, "pool", pool))
        )  # type: ignore[misc]
        assert [text.partition(": use letters")[0] for text in told] == [f"inner: pool {pool!r}"]


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


@pytest.mark.parametrize(
    ("called", "problem"),
    [
        (
            d.SubWorkflow(detached=True, outputs={"x": d.VALUE_TYPE_ANY}),
            "the block's only output is run_id",
        ),
        (
            d.SubWorkflow(
                detached=True,
                outputs={"run_id": d.VALUE_TYPE_STRING},
                memo=d.Memo(enabled=True),
            ),
            "it has no outputs for a memo",
        ),
        (d.SubWorkflow(memo=d.Memo(max_age_ms=-1)), "must not be negative"),
        (d.SubWorkflow(memo=d.Memo(code_digest="sha256:1")), "has no code_digest"),
        (d.SubWorkflow(detached=True, outputs={"run_id": d.VALUE_TYPE_STRING}), ""),
    ],
)
def test_calls_that_cannot_be_are_refused(called: d.SubWorkflow, problem: str) -> None:
    called.workflow = "other"
    body = d.Graph(blocks=[d.Block(name="call", sub_workflow=called)])
    problems = validate(d.WorkflowDefinition(name="w", body=body))
    assert len(problems) == bool(problem)
    assert problem in "".join(problems)
