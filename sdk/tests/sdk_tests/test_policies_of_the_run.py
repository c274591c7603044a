"""Policies that are values of the run: where the language takes them, what it makes of them, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kaon import (
    Resources,
    Retry,
    Workflow,
    WorkflowError,
    approval,
    each,
    expr,
    group,
    param,
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
