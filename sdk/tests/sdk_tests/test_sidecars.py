"""Sidecars of docker steps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kaon import Workflow, WorkflowError, sidecar, steps


def settings(**options: Any) -> dict[str, Any]:
    """The settings of a docker step, as runners get them."""
    step = steps.docker("test", "app:1", **options)
    block = Workflow("w", step).definition().body.blocks[0]
    found: dict[str, Any] = json.loads(block.step.config_json)
    return found


def test_sidecars_are_settings_of_the_step() -> None:
    db = sidecar(
        "db",
        "postgres:17",
        env={"POSTGRES_PASSWORD": "x"},
        ready=["pg_isready"],
        ready_timeout="30s",
        memory="256MiB",
        cpu=1,
    )
    assert settings(sidecars=[db, sidecar("cache", "redis:8")])["sidecars"] == [
        {
            "name": "db",
            "image": "postgres:17",
            "env": {"POSTGRES_PASSWORD": "x"},
            "ready": ["pg_isready"],
            "ready_ms": 30_000,
            "memory_bytes": 256 * 2**20,
            "cpus": 1.0,
        },
        {"name": "cache", "image": "redis:8", "ready_ms": 60_000},
    ]


def test_a_step_without_sidecars_is_as_it_was() -> None:
    assert "sidecars" not in settings()
    assert settings(sidecars=[]) == settings()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (sidecar("db", "a"), "sidecars is a list of sidecar"),
        ([{"name": "db"}], "sidecars is a list of sidecar"),
        ([sidecar("db", "a"), sidecar("db", "b")], "two sidecars have the same name"),
    ],
)
def test_something_else_is_refused(given: Any, problem: str) -> None:
    with pytest.raises(WorkflowError, match=problem):
        settings(sidecars=given)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"name": "D b"}, "D b"),
        ({"image": ""}, "image must be text"),
        ({"ready": "pg_isready"}, "is a list of words"),
        ({"ready_timeout": "soon"}, "ready_timeout of sidecar 'db'"),
        ({"memory": "much"}, "memory of sidecar 'db'"),
        ({"cpu": 0}, "cpu of sidecar 'db'"),
        ({"env": ["a"]}, "env is a dict"),
    ],
)
def test_mistakes_of_a_sidecar_are_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(WorkflowError, match=problem):
        sidecar(**{"name": "db", "image": "postgres:17", **options})
