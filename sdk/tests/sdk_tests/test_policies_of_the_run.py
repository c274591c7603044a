"""Policies that are values of the run: where the language takes them, what it makes of them, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kaon import (
    Resources,
    Retry,
    RetryRule,
    Workflow,
    WorkflowError,
    approval,
    each,
    expr,
    group,
    param,
    semaphore,
    sidecar,
    signal,
    steps,
    sub_workflow,
    timer,
    until,
)
from kaon.cli import bound, kinds
from kaon.dsl.blocks import Part
from kaon_wire.definitions.graphs import all_blocks
from kaonapi.workflow.v1 import definition_pb2 as d

N = param("n", int, default=3)
ZONE = param("zone", str, default="eu")


def block(part: Part, name: str) -> d.Block:
    definition = Workflow("w", part).definition()
    return next(each for each in all_blocks(definition.body) if each.name == name)


def bound_of(part: Part, name: str) -> dict[str, str]:
    made = block(part, name)
    return {field: str(binding.WhichOneof("source")) for field, binding in made.bound.items()}


def test_every_policy_of_a_step_may_be_a_value() -> None:
    step = steps.docker(
        "a",
        expr("'app:' + zone", zone=ZONE),
        env={"ZONE": ZONE, "LEVEL": "info"},
        timeout=N,
        total_timeout=expr("string(n) + 'm'", n=N),
        deadline=N,
        retry=Retry(max_attempts=N, backoff=N, factor=N, max_backoff=N, jitter=expr("0.5")),
        pool=ZONE,
        labels=["gpu!=none", expr("'zone=' + zone", zone=ZONE)],
        tags=[ZONE],
        priority=N,
        resources=Resources(slots=N, cpu=N, memory=N, gpu=N, custom={"licence": N, "seat": 2}),
    )
    made = block(step, "a")
    assert {field: each.WhichOneof("source") for field, each in made.bound.items()} == {
        "timeout_ms": "expression",
        "deadline_ms": "parameter",
        "step.timeout_ms": "parameter",
        "step.retry.max_attempts": "parameter",
        "step.retry.backoff_ms": "parameter",
        "step.retry.max_backoff_ms": "parameter",
        "step.retry.backoff_factor": "parameter",
        "step.retry.jitter": "expression",
        "step.pool": "parameter",
        "step.labels": "list",
        "step.tags": "list",
        "step.priority": "parameter",
        "step.resources.slots": "parameter",
        "step.resources.cpu_milli": "parameter",
        "step.resources.memory_bytes": "parameter",
        "step.resources.gpu": "parameter",
        "step.resources.custom.licence": "parameter",
        "step.config.image": "expression",
        "step.config.env": "map",
    }
    assert made.step.retry == d.RetryPolicy()
    assert made.step.resources == d.Resources(custom={"seat": 2})
    assert made.step.config_json == '{"argv":[]}'


def test_what_is_written_out_stays_beside_what_is_a_value() -> None:
    step = steps.shell("a", ["true"], retry=Retry(max_attempts=N, backoff="30s", rules={"X": 2}))
    made = block(step, "a")
    assert list(made.bound) == ["step.retry.max_attempts"]
    assert (made.step.retry.max_attempts, made.step.retry.backoff_ms) == (0, 30_000)
    assert [rule.error_type for rule in made.step.retry.rules] == ["X"]


def test_blocks_take_values_too() -> None:
    one = steps.shell("one", ["true"], outputs={"ok": bool, "items": list})
    loop = one ** until(one["ok"], max_iterations=N, backoff=N, factor=N, timeout=N)
    assert bound_of(loop, "cycle") == dict.fromkeys(
        (
            "repeat.max_iterations",
            "repeat.backoff_ms",
            "repeat.backoff_factor",
            "timeout_ms",
        ),
        "parameter",
    )
    two = steps.shell("two", ["true"])
    cells = one >> two ** each("x", one["items"], max_concurrency=N, deadline=N, name="cells")
    assert sorted(bound_of(cells, "cells")) == ["deadline_ms", "for_each.max_concurrency"]
    assert bound_of(group(two, timeout=N, name="g"), "g") == {"timeout_ms": "parameter"}
    gate = approval("ok", timeout=N, on_timeout="skip", deadline=N)
    assert sorted(bound_of(gate, "ok")) == ["deadline_ms", "gate.timeout_ms"]
    assert list(bound_of(signal("go", timeout=N, default=1), "go")) == ["gate.timeout_ms"]
    assert list(bound_of(timer("t", after="1s", deadline=N), "t")) == ["deadline_ms"]
    child = sub_workflow("child", expr("'train-' + zone", zone=ZONE), day=1, timeout=N)
    assert sorted(bound_of(child, "child")) == ["sub_workflow.workflow", "timeout_ms"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: steps.shell("a", ["true"], timeout=param("xs", list)),
            "step 'a': timeout is a value of type list; it must be a number or a text",
        ),
        (
            lambda: steps.shell("a", ["true"], pool=N),
            "step 'a': pool is a value of type int; it must be a text",
        ),
        (
            lambda: steps.shell("a", ["true"], priority=expr("zone + 'x'", zone=ZONE)),
            "a: priority is a value of the kind string; it must be a number",
        ),
        (
            lambda: steps.shell("a", ["true"], retry=Retry(rules={"X": ZONE})),
            "step 'a': retry: X: max_attempts is a value of type string; it must be a number",
        ),
        (
            lambda: steps.shell("a", ["true"], locks=[semaphore("seats", ZONE)]),
            "step 'a': semaphore seats: limit is a value of type string; it must be a number",
        ),
        (
            lambda: steps.shell("a", ["true"]) ** each("x", [1], tolerate=param("xs", list)),
            "tolerate is a value of type list; it must be a number or a text",
        ),
        (
            lambda: steps.docker("a", "b", sidecars=[sidecar("db", N)]),
            "step 'a': sidecar db: image is a value of type int; it must be a text",
        ),
        (
            lambda: steps.shell("a", ["true"], exclusive=N),
            "exclusive is True or False, not parameter 'n'",
        ),
        (
            lambda: sub_workflow("c", ZONE, version="sha256:" + "0" * 64),
            "a version belongs to a workflow whose name is known",
        ),
    ],
)
def test_wrong_values_are_refused_when_the_file_is_loaded(
    make: Callable[[], Part], told: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        Workflow("w", make()).definition()
    assert told in str(caught.value)


def test_rules_of_a_retry_and_the_tolerance_of_a_foreach_may_be_values() -> None:
    rules: dict[Any, Any] = {
        "Http*": N,
        ValueError: RetryRule(max_attempts=2, backoff=N),
        75: RetryRule(max_attempts=N, backoff="5s"),
    }
    made = block(steps.shell("a", ["true"], retry=Retry(rules=rules)), "a")
    assert sorted(made.bound) == [
        "step.retry.rules.75.max_attempts",
        "step.retry.rules.Http*.max_attempts",
        "step.retry.rules.ValueError.backoff_ms",
    ]
    assert [(rule.max_attempts, rule.backoff_ms) for rule in made.step.retry.rules] == [
        (0, 0),
        (2, 0),
        (0, 5_000),
    ]
    two = steps.shell("two", ["true"])
    cells = two ** each("x", [1, 2], tolerate=expr("string(n) + '%'", n=N), name="cells")
    assert bound_of(cells, "cells") == {"for_each.failure.tolerate": "expression"}
    assert not block(cells, "cells").for_each.HasField("failure")


def test_limits_of_semaphores_and_settings_of_sidecars_may_be_values() -> None:
    db = sidecar("db", expr("'postgres:' + zone", zone=ZONE), env={"ZONE": ZONE, "LEVEL": "info"})
    step = steps.docker(
        "a",
        "app:1",
        sidecars=[db, sidecar("cache", "redis:8", env={"A": "b"})],
        locks=[semaphore("seats", N)],
    )
    made = block(step, "a")
    assert {field: each.WhichOneof("source") for field, each in made.bound.items()} == {
        "locks.seats.limit": "parameter",
        "step.config.sidecars.db.image": "expression",
        "step.config.sidecars.db.env": "map",
    }
    assert json.loads(made.step.config_json)["sidecars"] == [
        {"name": "db", "ready_ms": 60_000},
        {"name": "cache", "image": "redis:8", "env": {"A": "b"}, "ready_ms": 60_000},
    ]
    assert made.locks[0].limit == 0
    held = group(steps.shell("b", ["true"]), name="g", locks=[semaphore("seats", N)])
    assert bound_of(held, "g") == {"locks.seats.limit": "parameter"}
    assert kinds.describe(block(held, "g")) == (
        "group, semaphore seats: limit of parameter n, holds semaphore seats"
    )


def test_a_workflow_takes_its_times_from_parameters() -> None:
    step = steps.shell("a", ["true"])
    made = Workflow("w", step, timeout=N, deadline=expr("string(n) + 'm'", n=N)).definition()
    assert {field: each.WhichOneof("source") for field, each in made.bound.items()} == {
        "timeout_ms": "parameter",
        "deadline_ms": "expression",
    }
    assert (made.timeout_ms, made.deadline_ms) == (0, 0)
    assert [each.name for each in made.parameters] == ["n"]
    assert bound.sources_of_run(made) == [
        "deadline of string(n) + 'm'",
        "timeout of parameter n",
    ]


def test_the_times_of_a_workflow_are_known_when_a_run_begins() -> None:
    step = steps.shell("a", ["true"], outputs={"n": int})
    with pytest.raises(WorkflowError, match=r"timeout of the workflow uses .*it may use"):
        Workflow("w", step, timeout=step["n"])
    with pytest.raises(WorkflowError, match="deadline of the workflow is a value of type list"):
        Workflow("w", step, deadline=param("xs", list))


def test_an_output_of_a_step_must_come_before() -> None:
    later = steps.shell("later", ["true"], outputs={"n": int})
    with pytest.raises(WorkflowError, match="step 'a': timeout refers to"):
        Workflow("w", steps.shell("a", ["true"], timeout=later["n"]) >> later)


def test_people_read_what_policies_are_bound_to_and_their_values() -> None:
    step = steps.shell("a", ["true"], timeout=N, pool=expr("zone", zone=ZONE))
    assert kinds.describe(block(step, "a")) == ("shell step, pool of zone, timeout of parameter n")
    values: dict[str, Any] = {
        "timeout_ms": "60000",
        "step.timeout_ms": "90000",
        "step.priority": "5",
        "step.pool": "null",
        "step.resources.cpu_milli": "1500",
    }
    assert bound.values("step", values) == (
        "pool by default, priority 5, resources: cpu 1.5, timeout 1m30s, total_timeout 1m00s"
    )
    assert bound.kind_of(values) == "step"
    assert bound.kind_of({"timeout_ms": "1"}) == "group"
