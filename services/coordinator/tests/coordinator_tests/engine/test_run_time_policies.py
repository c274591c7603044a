"""Policies that are values of the run: bound when a block begins, checked there, recorded, and the same for every owner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kaon_coordinator.engine.actions import (
    LookUpMemo,
    PrepareChild,
    ReleasePermits,
    TakePermits,
    Timer,
    WatchAttempt,
    WatchTime,
)
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.definition.differences import differences
from kaon_coordinator.engine.messages import (
    Cancel,
    ChildPrepared,
    MemoMissed,
    PermitsGranted,
    Restart,
    Start,
    Started,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.adopting import adopt
from kaon_coordinator.expressions import evaluate
from kaon_coordinator.shell.requests import pool_of, priority_of, step_request
from kaon_wire.definitions import policies
from kaon_wire.definitions.retry_rules import matching_rule
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure
from .test_forks import fork

BY = {"reason": "because", "requester": "me"}


def parameter(name: str) -> d.Binding:
    return d.Binding(parameter=name)


def cel(text: str, **variables: d.Binding) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=text, variables=variables))


def plain(name: str) -> d.Block:
    """A step without a policy."""
    made = step(name)
    made.step.ClearField("retry")
    return made


def with_bound(block: d.Block, policies: dict[str, d.Binding]) -> d.Block:
    for field, binding in policies.items():
        block.bound[field].CopyFrom(binding)
    return block


def driven(body: d.Graph, behaviour: Any = None, **params: object) -> Driver:
    definition = workflow(body)
    for name in sorted(params):
        definition.parameters.add(name=name, type=d.VALUE_TYPE_ANY)
    made = Driver(definition, behaviour or (lambda _: {"out": 1}), params=params, evaluate=evaluate)
    made.tell(Start())
    return made


def bound_events(driver: Driver) -> list[dict[str, Any]]:
    return [
        {field: json.loads(text) for field, text in event.policies_bound.values_json.items()}
        for event in driver.history
        if event.HasField("policies_bound")
    ]


ALL = {
    "timeout_ms": literal("1h"),
    "deadline_ms": literal(600),
    "step.timeout_ms": cel("n * 60", n=parameter("n")),
    "step.retry.max_attempts": parameter("n"),
    "step.retry.backoff_ms": literal("2s"),
    "step.pool": literal("gpu"),
    "step.priority": parameter("n"),
    "step.labels": cel("['zone=' + z]", z=parameter("z")),
    "step.resources.memory_bytes": literal("2GiB"),
    "step.resources.cpu_milli": literal(1.5),
    "step.resources.custom.licence": literal(1),
    "step.config.image": cel("'app:' + z", z=parameter("z")),
    "step.config.env": d.Binding(map=d.BindingMap(bindings={"N": parameter("n")})),
}


def test_every_policy_of_a_step_holds_and_is_recorded_as_its_field_has_it() -> None:
    driver = driven(chain(with_bound(plain("a"), ALL)), n=3, z="eu")
    assert bound_events(driver) == [
        {
            "timeout_ms": 3_600_000,
            "deadline_ms": 600_000,
            "step.timeout_ms": 180_000,
            "step.retry.max_attempts": 3,
            "step.retry.backoff_ms": 2_000,
            "step.pool": "gpu",
            "step.priority": 3,
            "step.labels": ["zone=eu"],
            "step.resources.memory_bytes": 2**31,
            "step.resources.cpu_milli": 1_500,
            "step.resources.custom.licence": 1,
            "step.config.image": "app:eu",
            "step.config.env": {"N": "3"},
        }
    ]
    driver.take_over()
    held = driver.state.steps["a"]
    request = step_request(driver.state, held, partition=0, epoch=1)
    assert (request.pool, request.priority, request.labels[0]) == ("gpu", 3, "zone=eu")
    assert request.resources == d.Resources(
        memory_bytes=2**31, cpu_milli=1_500, custom={"licence": 1}
    )
    assert json.loads(request.spec.config_json) == {"image": "app:eu", "env": {"N": "3"}}
    assert request.spec.timeout_ms == 180_000
    assert {each.timer for each in driver.asked(WatchTime)} == {Timer.TIMEOUT, Timer.DEADLINE}
    driver.tell(Started(lease=driver.lease("a")))
    (watch,) = driver.asked(WatchAttempt)
    assert watch.timeout_us == driver.state.steps["a"].start_us + 180_000_000
    assert (pool_of(held), priority_of(driver.state, held)) == ("gpu", 3)
    driver.check_replay()


def test_attempts_in_all_may_be_a_value_of_the_run() -> None:
    driver = driven(chain(with_bound(plain("a"), {"step.retry.max_attempts": parameter("n")})), n=3)
    driver.behaviour = lambda _: failure()
    driver.drain()
    assert driver.state.steps["a"].attempt == 3
    driver.check_replay()


def test_null_stands_for_the_default() -> None:
    block = with_bound(
        step("a"), {"step.pool": literal(None), "step.timeout_ms": parameter("nothing")}
    )
    driver = driven(chain(block), nothing=None)
    assert bound_events(driver) == [{"step.pool": None, "step.timeout_ms": None}]
    assert pool_of(driver.state.steps["a"]) == "default"
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("step.timeout_ms", "soon", "timeout is \"soon\": 'soon' is no duration"),
        ("step.timeout_ms", -1, "timeout is -1: -1 is no duration"),
        ("timeout_ms", 10**12, "longer than 315576000000 ms"),
        ("step.retry.max_attempts", 0, "retry: max_attempts is 0: it must be at least 1"),
        ("step.retry.max_attempts", 2_000_000, "must be from 0 to 1000000"),
        ("step.priority", 1.5, "priority is 1.5: it must be a whole number"),
        ("step.priority", 2**70, "must be from -1000000000 to 1000000000"),
        ("step.pool", "no good", 'pool is "no good": use letters'),
        ("step.tags", ["UPPER"], "'UPPER': use lower-case letters"),
        ("step.labels", "gpu", 'labels is "gpu": it must be a list of texts'),
        ("step.resources.gpu", -1, "resources: gpu is -1: it must be from 0 to 1000000"),
        ("step.resources.memory_bytes", "much", "resources: memory is \"much\": 'much' is no size"),
        ("step.config.image", None, "image is null: it must be a text that is not empty"),
        ("step.config.env", {"A": [1]}, "'A' must be a text, a number or a bool"),
    ],
)
def test_a_value_out_of_bounds_fails_the_step_and_names_field_value_and_bound(
    field: str, value: object, told: str
) -> None:
    driver = driven(chain(with_bound(plain("a"), {field: parameter("value")})), value=value)
    error = driver.state.steps["a"].error
    assert error is not None
    assert error.type == "PolicyInvalid"
    assert error.message.startswith("a: ")
    assert told in error.message
    assert driver.state.status == t.FAILED
    assert driver.requested == []
    driver.check_replay()


def test_a_value_that_cannot_be_bound_fails_the_block_and_nothing_else() -> None:
    each = with_bound(
        for_each("each", literal([1]), chain(step("a"))),
        {"for_each.max_concurrency": cel("p.x", p=parameter("p"))},
    )
    each.optional = True
    driver = driven(fan(each, step("b")), p={})
    driver.drain()
    error = driver.state.blocks["each"].error
    assert error is not None
    assert error.type == "BindingError"
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_foreach_takes_its_concurrency_from_an_earlier_step_and_its_cells_their_items() -> None:
    inner = with_bound(step("a"), {"step.priority": d.Binding(item="item")})
    each = with_bound(
        for_each("each", literal([5, 5, 7]), chain(inner)),
        {"for_each.max_concurrency": output("first")},
    )
    driver = driven(chain(step("first"), each), lambda _: {"out": 2})
    driver.execute(driver.take())
    assert len(driver.requested) == 2
    driver.take_over()
    first, second = (driver.state.steps[path] for path in driver.requested)
    # Cells with equal values share what is made of them.
    assert first.block is second.block
    assert priority_of(driver.state, first) == 5
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    assert priority_of(driver.state, driver.state.steps["each[7]/a"]) == 7
    driver.check_replay()


def test_a_repeat_makes_as_many_iterations_as_the_run_says() -> None:
    again = repeat("again", chain(step("a")), output("a"), times=0)
    again = with_bound(again, {"repeat.max_iterations": parameter("n")})
    driver = driven(chain(again), lambda _: {"out": False}, n=2)
    driver.drain()
    assert sorted(driver.state.steps) == ["again#1/a", "again#2/a"]
    error = driver.state.error
    assert error is not None
    assert error.type == "RepeatExhausted"
    driver.check_replay()


def test_too_many_iterations_name_the_limit() -> None:
    again = repeat("again", chain(step("a")), output("a"), times=0)
    driver = driven(
        chain(with_bound(again, {"repeat.max_iterations": parameter("n")})), n=1_000_000
    )
    error = driver.state.error
    assert error is not None
    assert error.message == "again: max_iterations is 1000000: the limit iterations is 10000"


def test_a_sub_workflow_of_a_name_that_the_run_knows() -> None:
    child = with_bound(
        d.Block(name="child", sub_workflow=d.SubWorkflow()),
        {"sub_workflow.workflow": cel("'train-' + z", z=parameter("z"))},
    )
    driver = driven(chain(child), z="eu")
    (asked,) = driver.asked(PrepareChild)
    assert (asked.workflow, asked.bound) == ("train-eu", True)
    prepared = ChildPrepared(
        path="child",
        asked=driver.question("child"),
        child_run_id="c1",
        workflow="train-eu",
        version="sha256:1",
        params={},
    )
    driver.tell(prepared)
    assert driver.history[-1].child_run_started.version == "sha256:1"
    driver.take_over()
    assert driver.state.blocks["child"].block.sub_workflow.workflow == "train-eu"
    driver.check_replay()


def test_tags_of_the_run_take_permits_and_give_them_back() -> None:
    tagged = with_bound(step("a"), {"step.tags": cel("[z]", z=parameter("z"))})
    driver = driven(chain(tagged), z="eu")
    (wish,) = driver.asked(TakePermits)
    assert wish.keys == ("tag:eu",)
    driver.tell(PermitsGranted(path="a", asked=driver.question("a")))
    driver.drain()
    assert ReleasePermits(path="a") in driver.actions
    waiting = driven(chain(tagged), z="eu")
    waiting.tell(Cancel(**BY))
    assert ReleasePermits(path="a") in waiting.actions


def test_the_key_of_a_memo_includes_an_image_and_an_environment_of_the_run() -> None:
    keys = set()
    for image, variable in (("a", 1), ("b", 1), ("a", 2)):
        lone = with_bound(
            step("a"),
            {"step.config.image": parameter("image"), "step.config.env": parameter("env")},
        )
        lone.step.memo.enabled = True
        driver = driven(chain(lone), image=image, env={"V": variable})
        (asked,) = driver.asked(LookUpMemo)
        keys.add(asked.key)
        driver.tell(MemoMissed(path="a", asked=driver.question("a"), key=asked.key))
        driver.drain()
        assert driver.state.status == t.SUCCEEDED
    assert len(keys) == 3


def test_a_restart_binds_anew_and_a_history_binds_nothing() -> None:
    answers = iter([30, 60])
    last = with_bound(step("b"), {"step.timeout_ms": output("a")})
    driver = driven(
        chain(step("a"), last),
        lambda each: {"out": next(answers) if each.block.name == "a" else 1},
    )
    driver.drain()
    driver.tell(Restart(path="a", **BY))
    assert driver.state.steps["b"].bound == {}
    assert driver.state.steps["b"].spec.timeout_ms == 0
    driver.drain()
    assert [each["step.timeout_ms"] for each in bound_events(driver)] == [30_000, 60_000]
    assert driver.state.steps["b"].spec.timeout_ms == 60_000
    driver.check_replay()


def test_what_the_deployment_refuses_fails_the_step() -> None:
    lone = with_bound(step("a"), {"step.priority": parameter("n")})
    definition = workflow(chain(lone))
    definition.parameters.add(name="n", type=d.VALUE_TYPE_INT)
    driver = Driver(definition, lambda _: {"out": 1}, params={"n": 7})
    driver.refusal = lambda tenant, priority, wanted: f"priority {priority + wanted.priority}"
    driver.tell(Start())
    error = driver.state.steps["a"].error
    assert error is not None
    assert (error.type, error.message) == ("PolicyInvalid", "a: priority 7")


def test_steps_with_such_policies_follow_nobody_and_lead_nobody() -> None:
    for names in (("a",), ("b",)):
        blocks = [step("a"), step("b", x=output("a"))]
        for block in blocks:
            if block.name in names:
                with_bound(block, {"step.priority": literal(1)})
        driver = driven(chain(*blocks))
        assert driver.state.workflow.root.followers == {}


@pytest.mark.parametrize(
    ("block", "bound", "told"),
    [
        (step("a"), {"step.exclusive": literal(True)}, "'step.exclusive' is no policy"),
        (step("a"), {"for_each.max_concurrency": literal(1)}, "is no policy"),
        (step("a", timeout_ms=5), {"step.timeout_ms": literal(1)}, "timeout has a value, and"),
        (
            step("a"),
            {"step.pool": literal(5)},
            "pool is a value of the kind int; it must be a text",
        ),
        (step("a"), {"step.pool": parameter("n")}, "pool is a value of the kind int"),
        (step("a"), {"step.priority": parameter("m")}, "the workflow has no parameter 'm'"),
        (step("a"), {"step.priority": cel("n.size()", n=parameter("n"))}, "size"),
        (step("a"), {"step.priority": d.Binding(item="i")}, "no foreach around it has an item"),
    ],
)
def test_wrong_policies_are_found_before_any_run(
    block: d.Block, bound: dict[str, d.Binding], told: str
) -> None:
    made = d.Block()
    made.CopyFrom(block)
    definition = workflow(chain(with_bound(made, bound)))
    definition.parameters.add(name="n", type=d.VALUE_TYPE_INT)
    assert any(told in each for each in validate(definition)), validate(definition)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("step.timeout_ms", 5, True),
        ("step.pool", "gpu", True),
        ("step.config.image", "app:2", False),
        ("step.config.env", {"A": "2"}, False),
    ],
)
def test_a_fork_keeps_what_differs_only_in_how_it_was_scheduled(
    field: str, value: object, kept: bool
) -> None:
    versions = [
        compile_workflow(workflow(chain(with_bound(step("a"), bound))), "v")
        for bound in ({}, {field: literal(value)})
    ]
    found = differences(*versions)
    assert (found == {}) is kept
    assert kept or found["a"].what == "has other policies that are known only at run time"


def test_a_fork_into_a_version_that_binds_no_more_has_the_values_of_that_version() -> None:
    each = for_each("each", literal([1, 2]), chain(step("a")))
    before = with_bound(each, {"for_each.max_concurrency": parameter("n")})
    driver = driven(chain(before), n=1)
    assert len(driver.requested) == 1
    after = for_each("each", literal([1, 2]), chain(step("a")), at_once=2)
    node = driver.state.blocks["each"]
    adopt(driver.state, compile_workflow(workflow(chain(after)), "v2"), 1)
    assert (node.block.for_each.max_concurrency, node.bound) == (2, {})
    adopt(driver.state, compile_workflow(driver.definition, "v3"), 1)
    assert node.bound == {}


def test_every_policy_names_a_field_of_a_block() -> None:
    for kind, fields in policies._BY_KIND.items():
        for field in fields:
            if kind == "workflow":
                assert field in d.WorkflowDefinition.DESCRIPTOR.fields_by_name
                continue
            block = d.Block()
            getattr(block, kind).SetInParent()
            value = {"step.labels": '["x"]', "step.tags": '["x"]', "step.config.env": '{"A":"x"}'}
            text = value.get(field, '"x"' if "pool" in field or "workflow" in field else "1")
            made = policies.applied(block, {field: text})
            assert policies.is_set(made, field)
            assert not policies.is_set(block, field)


def test_rules_of_a_retry_count_as_they_were_bound() -> None:
    block = plain("a")
    block.step.retry.rules.add(error_type="Boom")
    block.step.retry.rules.add(exit_code=75, max_attempts=2)
    block = with_bound(
        block,
        {
            "step.retry.rules.Boom.max_attempts": parameter("n"),
            "step.retry.rules.Boom.backoff_ms": literal("5s"),
        },
    )
    driver = driven(chain(block), n=3)
    assert bound_events(driver) == [
        {"step.retry.rules.Boom.max_attempts": 3, "step.retry.rules.Boom.backoff_ms": 5_000}
    ]
    driver.take_over()
    policy = driver.state.steps["a"].block.step.retry
    rule = matching_rule(policy, step_pb2.StepError(type="Boom"))
    assert rule is not None
    assert (rule.max_attempts, rule.backoff_ms) == (3, 5_000)
    assert policy.rules[1].max_attempts == 2


@pytest.mark.parametrize(
    ("given", "cells", "fails"),
    [
        (1, 4, False),
        (1, 1, False),
        (0, 4, True),
        ("50%", 2, False),
        ("20 %", 4, True),
        (2.0, 2, False),
    ],
)
def test_a_foreach_tolerates_what_it_is_told_when_it_begins(
    given: object, cells: int, fails: bool
) -> None:
    each = with_bound(
        for_each("each", literal(list(range(cells))), chain(plain("b"))),
        {policies.TOLERATE: parameter("given")},
    )
    definition = workflow(chain(each))
    definition.parameters.add(name="given", type=d.VALUE_TYPE_ANY)
    driver = Driver(
        definition,
        lambda issue: failure() if issue.path == "each[0]/b" else {"out": 1},
        params={"given": given},
        evaluate=evaluate,
    )
    assert driver.run().status == (t.FAILED if fails else t.SUCCEEDED)


@pytest.mark.parametrize("given", [-1, "half", 1.5, "101%", True, [1]])
def test_what_is_no_tolerance_fails_the_foreach(given: object) -> None:
    each = with_bound(
        for_each("each", literal([1]), chain(plain("b"))), {policies.TOLERATE: parameter("given")}
    )
    error = driven(chain(each), given=given).state.blocks["each"].error
    assert error is not None
    assert error.type == "PolicyInvalid"
    assert "tolerate is" in error.message
    assert 'it must be a number of cells or a percentage such as "20%"' in error.message


def test_the_limit_of_a_semaphore_is_that_of_its_value() -> None:
    held = plain("a")
    held.locks.add(name="seats")
    around = d.Block(name="g", group=d.Group(body=chain(plain("b"))))
    around.locks.add(name="rooms")
    driver = driven(
        fan(
            with_bound(held, {"locks.seats.limit": parameter("n")}),
            with_bound(around, {"locks.rooms.limit": parameter("m")}),
        ),
        n=4,
        m=1,
    )
    taken = {each.path: dict(each.bounds) for each in driver.asked(TakePermits)}
    assert taken == {"a": {"lock:seats": 4}, "g": {"lock:rooms": 1}}


def test_settings_of_sidecars_reach_the_runner() -> None:
    block = plain("a")
    block.step.config_json = (
        '{"image":"app:1","sidecars":[{"name":"db"},{"name":"db.b","image":"x"}]}'
    )
    block = with_bound(
        block,
        {
            "step.config.sidecars.db.image": cel("'postgres:' + v", v=parameter("v")),
            "step.config.sidecars.db.b.env": d.Binding(
                map=d.BindingMap(bindings={"N": parameter("n")})
            ),
        },
    )
    driver = driven(chain(block), n=2, v="17")
    request = step_request(driver.state, driver.state.steps["a"], partition=0, epoch=1)
    assert json.loads(request.spec.config_json)["sidecars"] == [
        {"name": "db", "image": "postgres:17"},
        {"name": "db.b", "image": "x", "env": {"N": "2"}},
    ]


def of_run(bound: dict[str, d.Binding], **params: object) -> Driver:
    definition = workflow(chain(plain("a")))
    for name in sorted(params):
        definition.parameters.add(name=name, type=d.VALUE_TYPE_ANY)
    for field, binding in bound.items():
        definition.bound[field].CopyFrom(binding)
    assert not validate(definition)
    made = Driver(definition, lambda _: {"out": 1}, params=params, evaluate=evaluate)
    made.tell(Start())
    return made


def test_a_run_has_the_times_of_its_parameters_and_every_owner_has_the_same() -> None:
    driver = of_run(
        {"timeout_ms": parameter("n"), "deadline_ms": cel("string(n / 2) + 's'", n=parameter("n"))},
        n=60,
    )
    assert bound_events(driver) == [{"timeout_ms": 60_000, "deadline_ms": 30_000}]
    watched = {each.timer: each.due_us for each in driver.asked(WatchTime) if not each.path}
    begin = driver.state.start_us
    assert watched == {Timer.TIMEOUT: begin + 60_000_000, Timer.DEADLINE: begin + 30_000_000}
    driver.take_over()
    assert (driver.state.timeout_ms, driver.state.deadline_ms) == (60_000, 30_000)
    driver.let_time_pass(Timer.DEADLINE)
    driver.let_time_pass(Timer.TIMEOUT)
    driver.drain()
    assert driver.state.late
    assert driver.state.status == t.TIMED_OUT
    driver.check_replay()


def test_null_leaves_a_run_without_limit_and_a_wrong_value_ends_it() -> None:
    driver = of_run({"timeout_ms": parameter("n")}, n=None)
    assert (driver.state.timeout_ms, driver.state.status) == (0, t.RUNNING)
    assert not [each for each in driver.asked(WatchTime) if not each.path]
    driver = of_run({"timeout_ms": parameter("n")}, n="soon")
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.type == "PolicyInvalid"
    assert 'the workflow: timeout is "soon"' in driver.state.error.message
    assert driver.state.steps["a"].status == t.SKIPPED
    driver.check_replay()


def test_a_fork_has_the_times_of_its_own_parameters() -> None:
    driver = of_run({"timeout_ms": parameter("n")}, n=60)
    driver.drain()
    other = fork(driver, reset=("a",), n=90)
    other.tell(Start())
    assert (other.state.status, other.state.timeout_ms) == (t.RUNNING, 90_000)
    assert bound_events(other) == [{"timeout_ms": 90_000}]
    other.take_over()
    assert other.state.timeout_ms == 90_000
    same = fork(driver, reset=("a",))
    same.tell(Start())
    assert (bound_events(same), same.state.timeout_ms) == ([], 60_000)
    wrong = fork(driver, reset=("a",), n="soon")
    wrong.tell(Start())
    assert wrong.state.status == t.CANCELLED
    told = [each.run_cancel_requested.reason for each in wrong.history]
    assert 'the workflow: timeout is "soon"' in "".join(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda w: w.bound["timeout_ms"].CopyFrom(output("a", "out")),
            "workflow: timeout may use parameters, run_info() and expressions of these",
        ),
        (
            lambda w: w.bound["max_active_runs"].CopyFrom(literal(1)),
            "workflow: 'max_active_runs' is no policy that may be known only at run time",
        ),
        (
            lambda w: (setattr(w, "deadline_ms", 5), w.bound["deadline_ms"].CopyFrom(literal(1))),
            "workflow: deadline has a value, and another one that is known only at run time",
        ),
        (
            lambda w: w.body.blocks[0].bound["locks.seats.limit"].CopyFrom(literal(1)),
            "a: 'locks.seats.limit' is no policy that may be known only at run time",
        ),
        (
            lambda w: (
                w.body.blocks[0].bound["step.retry.rules.X.max_attempts"].CopyFrom(literal(1))
            ),
            "a: 'step.retry.rules.X.max_attempts' is no policy that may be known only at run time",
        ),
        (
            lambda w: (
                w.body.blocks[0].bound["step.config.sidecars.db.image"].CopyFrom(literal("x"))
            ),
            "a: 'step.config.sidecars.db.image' is no policy that may be known only at run time",
        ),
    ],
)
def test_what_has_no_place_is_refused(change: Any, told: str) -> None:
    definition = workflow(chain(plain("a")))
    change(definition)
    assert any(told in each for each in validate(definition)), validate(definition)
