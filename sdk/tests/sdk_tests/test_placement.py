"""What is told before a run begins about steps that no runner can take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from kaon import Workflow, param, steps
from kaon.client import Client, placement
from kaon_wire.definitions.graphs import all_blocks
from kaonapi.runner.v1 import runner_pb2 as r
from kaonapi.step.v1 import step_pb2

DEFAULT = r.Pool(name="default")
SHELL = r.Runner(pool="default", labels={"step-type.shell": "yes"})
PYTHON = r.Runner(pool="default", labels={"step-type.python": "yes"})


def _client(pools: list[r.Pool], runners: list[r.Runner], away: list[r.UnreachablePool]) -> Client:
    found = SimpleNamespace(
        list_pools=lambda: r.ListPoolsResponse(pools=pools, unreachable=away),
        list_runners=lambda: r.ListRunnersResponse(runners=runners),
    )
    return cast("Client", found)


@pytest.mark.parametrize(
    ("pool", "pools", "runners", "told"),
    [
        ("", [DEFAULT], [SHELL], []),
        ("", [DEFAULT], [], ["step a: no runner of pool 'default' is heard"]),
        (
            "",
            [DEFAULT],
            [PYTHON],
            [
                "step a: no runner of pool 'default' executes steps of type 'shell'; they execute python"
            ],
        ),
        ("defualt", [DEFAULT], [SHELL], ["step a: there is no pool 'defualt'; there is default"]),
    ],
)
def test_steps_that_no_runner_can_take_are_named(
    pool: str, pools: list[r.Pool], runners: list[r.Runner], told: list[str]
) -> None:
    step = steps.shell("a", argv=["true"], pool=pool) if pool else steps.shell("a", argv=["true"])
    definition = Workflow("w", step).definition()
    assert placement.problems(_client(pools, runners, []), definition) == told


def test_a_pool_that_only_the_run_knows_is_not_judged() -> None:
    step = steps.shell("a", argv=["true"], pool=param("pool", str, default="gpu"))
    definition = Workflow("w", step).definition()
    assert placement.problems(_client([], [], []), definition) == []


def test_a_pool_whose_owner_does_not_answer_is_not_judged() -> None:
    definition = Workflow("w", steps.shell("a", argv=["true"])).definition()
    away = r.UnreachablePool(pool="default", owner="c2", problem="it is away")
    assert placement.problems(_client([], [], [away]), definition) == []


def test_a_pool_whose_owner_has_just_begun_to_listen_is_not_judged() -> None:
    definition = Workflow("w", steps.shell("a", argv=["true"])).definition()
    settling = r.Pool(name="default", settling=True)
    assert placement.problems(_client([settling], [], []), definition) == []
    nobody = r.UnreachablePool(pool="default", problem="nobody owns it yet")
    assert placement.problems(_client([], [], [nobody]), definition) == []
    none = r.UnreachablePool(pool="default", problem="there is no such pool", unknown=True)
    assert placement.problems(_client([], [], [none]), definition) == [
        "step a: there is no pool 'default'; there is none"
    ]


def test_environments_of_the_workflow_that_are_being_built_are_named() -> None:
    definition = Workflow("w", steps.shell("a", argv=["true"])).definition()
    for block in all_blocks(definition.body):
        block.step.requirements_file = "needs.txt"
    builds = [
        r.EnvironmentBuild(
            key=step_pb2.StepKey(run_id="r0", path="a"),
            workflow=workflow,
            requirements_file="needs.txt",
        )
        for workflow in ("w", "other")
    ]
    building = r.Runner(runner_id="one", pool="default", building=builds)
    client = _client([DEFAULT], [building, PYTHON], [])
    assert placement.builds(client, definition) == [
        "step a: runner one is building the environment of needs.txt, for run r0"
    ]
