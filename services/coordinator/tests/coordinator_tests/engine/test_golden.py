"""Histories that earlier versions of the engine have written: they must replay for ever.

The first line of each has the definition and how the run ended; a fork's has the history of its original too. Files are added,
never changed: "1" is the first engine, "2" the one with all blocks, whose histories are of random workflows under random commands,
"3" the one whose retried parents go on with their children, "4" the one whose forks go on with another version, "5" the one
with submit strategies, locks, maps of bindings and values for skipped outputs, "6" the one with policies that are
known only at run time, "7" the one whose expressions have times, "8" the one with gates that wait for runs, "9" the one
whose runs know for which time they are and which run succeeded before them,
"10" the one whose steps update datasets, "11" the one whose gates take only some signals, and some to all, "12" the one
whose runs, retry rules, tolerances, semaphores and sidecars have policies that are known only at run time,
"13" the one with steps that serve others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.jsonl"))


def read(path: Path) -> tuple[dict[str, Any], list[history_pb2.HistoryEvent]]:
    first, *events = (json.loads(line) for line in path.read_text().splitlines())
    return first, [ParseDict(event, history_pb2.HistoryEvent()) for event in events]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_history_still_gives_the_end_that_it_had(path: Path) -> None:
    first, events = read(path)
    definition = ParseDict(first["definition"], d.WorkflowDefinition())
    state = RunState(run_id=events[0].run_id, workflow=compile_workflow(definition, "v1"))
    if "original" in first:
        for event in first["original"]:
            evolve(state, ParseDict(event, history_pb2.HistoryEvent()))
        into = ParseDict(first.get("into", first["definition"]), d.WorkflowDefinition())
        version = "v2" if "into" in first else "v1"
        state = fork_state(state, events[0].run_id, compile_workflow(into, version))
    for old in events:
        evolve(state, old)
    assert {path: int(step.status) for path, step in state.steps.items()} == first["end"]
    assert state.status == first["status"]
    if "blocks" in first:
        assert {path: int(block.status) for path, block in state.blocks.items()} == first["blocks"]
        assert {key: int(cell.status) for key, cell in state.scopes.items() if key} == first[
            "cells"
        ]
        assert dict(state.outputs) == first["outputs"]


def test_every_kind_of_event_stands_in_a_golden_history() -> None:
    kinds = {event.WhichOneof("event") for path in GOLDEN for event in read(path)[1]}
    assert kinds == {
        field.name for field in history_pb2.HistoryEvent.DESCRIPTOR.oneofs_by_name["event"].fields
    }
