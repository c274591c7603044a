"""Histories that earlier versions of the engine have written: they must replay for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from kaon_coordinator.engine.compiled import compile_workflow
from kaon_coordinator.engine.evolve import evolve
from kaon_coordinator.engine.state import RunState
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_history_still_gives_the_end_that_it_had(path: Path) -> None:
    first, *events = [json.loads(line) for line in path.read_text().splitlines()]
    definition = ParseDict(first["definition"], d.WorkflowDefinition())
    state = RunState(run_id=events[0]["runId"], workflow=compile_workflow(definition, "v1"))
    for event in events:
        evolve(state, ParseDict(event, history_pb2.HistoryEvent()))
    assert {path: int(step.status) for path, step in state.steps.items()} == first["end"]
    assert state.status == first["status"]


def test_there_are_golden_histories() -> None:
    assert GOLDEN
