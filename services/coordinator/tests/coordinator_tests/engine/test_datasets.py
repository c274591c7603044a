"""The datasets that the success of a step updates."""

from __future__ import annotations

from kaon_coordinator.engine.messages import Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.shell.dataset_updates import updates_of
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, step, workflow
from .driver import Driver


def producing(name: str, bound: d.Binding | None = None, partition: str = "") -> d.Block:
    block = step(name)
    block.step.datasets["ratings"] = partition
    if bound is not None:
        block.bound["step.datasets.ratings"].CopyFrom(bound)
    return block


def ran(definition: d.WorkflowDefinition, behaviour: object = None) -> Driver:
    driver = Driver(definition, behaviour or (lambda _: {"out": "eu"}))  # type: ignore[arg-type]
    driver.tell(Start())
    driver.drain()
    driver.check_replay()
    return driver


def updates(driver: Driver) -> list[tuple[str, str, str]]:
    return [
        (each.path, each.dataset, each.part) for each in updates_of(driver.state, driver.history)
    ]


def test_the_success_of_a_step_names_its_datasets_and_their_partitions() -> None:
    first = producing("a", partition="2026")
    first.step.datasets["users"] = ""
    driver = ran(workflow(chain(first, producing("b", output("a")), step("c"))))
    assert driver.state.status == t.SUCCEEDED
    assert updates(driver) == [("a", "ratings", "2026"), ("a", "users", ""), ("b", "ratings", "eu")]
    made = updates_of(driver.state, driver.history)[0]
    assert (made.outputs, made.workflow) == ({"out": '"eu"'}, "test")
    ended = next(event for event in driver.history if event.HasField("step_ended"))
    assert made.key == f"r1:{ended.seq}"


def test_each_cell_updates_its_own_partition() -> None:
    body = chain(producing("load", d.Binding(item="region")))
    each = for_each("each", literal(["eu", 7, None]), body, item="region")
    driver = ran(workflow(chain(each)))
    assert sorted(part for _, _, part in updates(driver)) == ["", "7", "eu"]


def test_a_step_that_fails_or_is_skipped_updates_nothing() -> None:
    def behaviour(found: StepState) -> object:
        return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type="E", message="no")

    driver = ran(workflow(chain(producing("a"), producing("b"))), behaviour)
    assert driver.state.status == t.FAILED
    assert updates(driver) == []


def test_a_partition_that_is_none_fails_the_step_before_it_runs() -> None:
    driver = ran(workflow(chain(producing("a", literal("x" * 201)))))
    error = driver.state.steps["a"].error
    assert error is not None
    assert error.type == "PolicyInvalid"
    assert "dataset ratings: partition" in error.message
    assert "201 characters; use at most 200" in error.message
    assert updates(driver) == []


def test_what_is_wrong_with_the_datasets_of_a_step_is_told() -> None:
    block = producing("a", literal("x"), partition="y")
    block.step.datasets["No!"] = "a\nb"
    problems = validate(workflow(chain(block)))
    assert problems == [
        "a: dataset ratings: partition has a value, and another one that is known only at run time",
        "a: dataset 'No!': use lower-case letters, digits, hyphens and single dots, a letter first, at most 63 characters",
        "a: dataset 'No!': its partition 'a\\nb': use printable characters",
    ]
    many = step("a")
    many.step.datasets.update({f"d{number}": "" for number in range(17)})
    assert validate(workflow(chain(many))) == ["a: it produces 17 datasets; use at most 16"]
