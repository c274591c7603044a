"""A definition of thousands of steps does not hold the loop: what walks through all of it does so in a thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.api import calls, workflows
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell import workflow_cache
from kaon_wire.definitions import targets
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w
from kaonapi.workflow.v1 import workflow_service_pb2_grpc

from ..engine.build import step
from ..shell.player import playing
from ..shell.world import World
from .whole import serving

STEPS = 3_000


def _large() -> d.WorkflowDefinition:
    return d.WorkflowDefinition(
        name="w", body=d.Graph(blocks=[step(f"s{number}") for number in range(STEPS)])
    )


async def test_bounds_values_and_the_index_of_a_large_definition_are_made_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, threads = World(tmp_path), dict[str, set[int]]()

    def note(module: Any, name: str, large: Any) -> None:
        made = getattr(module, name)

        def noted(given: Any, *more: Any) -> Any:
            if large(given):
                threads.setdefault(name, set()).add(threading.get_ident())
            return made(given, *more)

        monkeypatch.setattr(module, name, noted)

    note(calls, "check_bounds", lambda given: isinstance(given, w.RegisterWorkflowRequest))
    note(workflows, "named", lambda given: True)
    note(workflow_cache, "compile_workflow", lambda given: True)
    async with serving(world) as whole, playing(world):
        await workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel).RegisterWorkflow(
            w.RegisterWorkflowRequest(definition=_large())
        )
        run_id = await whole.submit()
        await world.until(lambda: whole.status(run_id) == t.RUNNING)
    assert set(threads) == {"check_bounds", "named", "compile_workflow"}
    assert threading.get_ident() not in set().union(*threads.values())


def test_without_targets_no_submission_walks_through_the_definition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walks: list[d.Graph] = []
    walk = targets.all_blocks

    def noted(graph: d.Graph) -> Any:
        walks.append(graph)
        return walk(graph)

    monkeypatch.setattr(targets, "all_blocks", noted)
    definition = _large()
    assert list(targets.problems(definition, run_pb2.RunTargets())) == []
    assert not walks
    (problem,) = targets.problems(definition, run_pb2.RunTargets(only=["s7", "t"]))
    assert problem.startswith("only: workflow 'w' has no step or block 't'; ")
    assert len(walks) == 1
