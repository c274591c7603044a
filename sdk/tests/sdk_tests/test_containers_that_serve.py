"""Docker steps that serve: refused when a workflow is loaded unless one knows when they are ready, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kaon import Workflow, WorkflowError, steps
from kaonapi.workflow.v1 import definition_pb2 as d

READY = {"ready": ["pg_isready"]}


def loaded(*, serves: bool = True, **options: Any) -> d.Step:
    """The docker step of a workflow that is loaded."""
    db = steps.docker("db", "postgres:17", serves=serves, **options)
    use = steps.shell("use", ["true"])
    return Workflow("w", db >> use).definition().body.blocks[0].step


def test_it_says_when_it_is_ready_and_its_addresses_are_outputs() -> None:
    step = loaded(publish={"database": 5432}, ready_timeout="30s", outputs={"rows": int}, **READY)
    assert step.serves
    assert dict(step.outputs) == {"database": d.VALUE_TYPE_STRING, "rows": d.VALUE_TYPE_INT}
    config = json.loads(step.config_json)
    assert config["publish"] == {"database": 5432}
    assert (config["ready"], config["ready_ms"]) == (["pg_isready"], 30_000)


def test_it_need_not_publish_and_may_name_the_output_itself() -> None:
    assert "publish" not in json.loads(loaded(**READY).config_json)
    assert loaded(publish={"a": 1}, outputs={"a": str}, **READY).outputs["a"] == d.VALUE_TYPE_STRING


def test_a_step_that_does_not_serve_is_as_it_was() -> None:
    config = json.loads(loaded(serves=False).config_json)
    assert not {"ready", "ready_ms", "publish"} & config.keys()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "db: a container that serves says how one knows: ready must be a program"),
        ({"publish": {"a": 1}}, "ready must be a program"),
        ({"config": {"ready": "pg_isready"}}, "it is 'pg_isready'"),
        ({"serves": False, **READY}, "ready is for a step that serves.*serves=True"),
        ({"serves": False, "publish": {"a": 1}}, "publish is for a step that serves"),
        ({"publish": {"a": 0}, **READY}, "port of a must be a number from 1 to 65535, it is 0"),
        ({"publish": {"a": "80"}, **READY}, "it is '80'"),
        ({"publish": {"a": True}, **READY}, "it is True"),
        ({"publish": {"a": 80}, "outputs": {"a": int}, **READY}, "a becomes the address"),
        ({"publish": {"A b": 80}, **READY}, "A b"),
        ({"publish": [80], **READY}, "publish is a dict of ports"),
        ({"config": {"publish": [80]}, **READY}, "publish must be ports"),
        ({"publish": {"a": 80}, "config": {"network": "none"}, **READY}, "network 'none'"),
        ({"publish": {"a": 80}, "config": {"network": "host"}, **READY}, "network 'host'"),
        ({"ready": "pg_isready"}, "is a list of words"),
        ({"ready_timeout": "soon", **READY}, "step 'db': ready_timeout"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(WorkflowError, match=problem):
        loaded(**options)
