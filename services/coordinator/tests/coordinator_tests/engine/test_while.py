"""Repeats whose condition is evaluated before each pass: from none at all to their bound."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.messages import Restart, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, literal, output, repeat, step, workflow
from .driver import Driver, failure
from .test_failure_policies import NESTINGS, ends, graph


def last(block: str, fallback: object) -> d.Binding:
    reference = d.OutputReference(step=block, output="out")
    return d.Binding(last=d.LastReference(output=reference, fallback=literal(fallback)))


def loop(body: d.Graph, condition: d.Binding, times: int = 5) -> d.Block:
    """Runs the body as long as the condition holds."""
    block = repeat("loop", body, literal(True), times)
    block.repeat.ClearField("until")
    block.repeat.as_long_as.CopyFrom(condition)
    return block


def until_pass(number: int):  # type: ignore[no-untyped-def]
    """The step "more" wants another pass up to this one."""

    def behave(state):  # type: ignore[no-untyped-def]
        scope = state.scope
        while scope.parent is not None and scope.parent.block.name != "loop":
            scope = scope.parent.scope
        return {"out": scope.index < number if state.block.name == "more" else True}

    return behave


def played(body: d.Graph, behaviour) -> Driver:  # type: ignore[no-untyped-def]
    driver = Driver(workflow(body), behaviour)
    driver.run()
    driver.check_replay()
    driver.take_over()
    driver.check_replay()
    return driver


@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize("inner", NESTINGS)
@pytest.mark.parametrize(("first", "number"), [(False, 0), (True, 1), (True, 3)])
def test_a_while_runs_as_often_as_its_condition_holds(
    nested: str, inner: str, first: bool, number: int
) -> None:
    if inner == "foreach" or "foreach in" in inner:
        # From outside of a foreach the output is a list.
        return
    body = NESTINGS[inner](chain(step("more")))
    rename(body, "inner")
    driver = played(
        NESTINGS[nested](chain(loop(body, last("more", first)), step("after"))), until_pass(number)
    )
    ran = [each for each in driver.state.steps.values() if each.block.name == "more"]
    assert len(ran) == number
    assert ends(driver)["after"] == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED


def rename(graph_: d.Graph, suffix: str) -> None:
    """Names are unique in a workflow: those of one nesting in another get a suffix."""
    for block in graph_.blocks:
        if block.name != "more":
            block.name = f"{block.name}-{suffix}"
        for field, message in block.ListFields():
            if field.name in {"group", "for_each", "repeat"}:
                rename(message.body, suffix)
            elif field.name == "branch":
                for case in message.cases:
                    rename(case.body, suffix)
                rename(message.otherwise, suffix)


def test_outputs_of_no_pass_are_null_and_those_of_the_last_pass_are_seen() -> None:
    for number, seen in ((0, "null"), (2, "false")):
        body = chain(
            loop(chain(step("more")), last("more", number > 0)), step("use", x=output("more"))
        )
        driver = played(body, until_pass(number))
        assert driver.state.steps["use"].inputs["x"] == seen


@pytest.mark.parametrize(
    ("exhausted", "status"),
    [
        (d.EXHAUSTED_FAIL, t.FAILED),
        (d.EXHAUSTED_ACCEPT, t.SUCCEEDED),
        (d.EXHAUSTED_SKIP, t.SKIPPED),
    ],
)
def test_the_bound_holds_although_the_condition_does(
    exhausted: d.Exhausted.ValueType, status: t.Status
) -> None:
    block = loop(chain(step("more")), literal(True), times=2)
    block.repeat.exhausted = exhausted
    driver = played(chain(block), until_pass(9))
    found = driver.state.blocks["loop"]
    assert (found.status, len(found.cells)) == (status, 2)
    if status != t.SUCCEEDED:
        assert found.error is not None
        assert "the condition still held after 2 iterations" in found.error.message


@pytest.mark.parametrize("condition", [literal(3), last("more", None)])
def test_a_condition_that_is_no_bool_fails_the_while(condition: d.Binding) -> None:
    driver = played(chain(loop(chain(step("more")), condition)), until_pass(1))
    error = driver.state.blocks["loop"].error
    assert error is not None
    assert "a condition must be true or false" in error.message


def test_a_pass_that_fails_fails_the_while_and_may_run_again() -> None:
    healed: list[str] = []

    def behave(state):  # type: ignore[no-untyped-def]
        return until_pass(2)(state) if healed or state.scope.index == 1 else failure()

    driver = played(chain(loop(chain(step("more")), last("more", True))), behave)
    assert driver.state.status == t.FAILED
    healed.append("yes")
    driver.tell(Restart(path="loop#2", reason="", requester="me"))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert len(driver.state.blocks["loop"].cells) == 2
    driver.tell(Restart(path="loop", reason="", requester="me"))
    driver.drain()
    assert len(driver.state.blocks["loop"].cells) == 2
    driver.check_replay()


def test_the_wait_is_between_passes() -> None:
    block = loop(chain(step("more")), last("more", True))
    block.repeat.backoff_ms = 1_000
    driver = Driver(workflow(chain(block)), until_pass(2))
    driver.tell(Start())
    driver.execute(driver.take())
    assert driver.state.blocks["loop"].due_us
    driver.take_over()
    driver.drain()
    assert len(driver.state.blocks["loop"].cells) == 2


def test_registration_wants_one_condition() -> None:
    block = loop(chain(step("more")), literal(True))
    block.repeat.until.CopyFrom(literal(True))
    assert validate(workflow(graph(block))) == [
        "loop: a repeat goes on until a condition holds, or as long as one does, not both"
    ]
    block.repeat.ClearField("until")
    block.repeat.as_long_as.Clear()
    assert "loop: as_long_as: the binding is empty" in validate(workflow(graph(block)))
