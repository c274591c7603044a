"""What the page's scrubber must fold from the attempts of a run, for both languages: from the golden histories.

`python -m coordinator_tests.view.fold_vectors` (in services/coordinator/tests) writes the file anew.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict

from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.view.folding import folded
from kaon_coordinator.view.span_page import page
from kaon_coordinator.view.spans import Spans
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import run_view_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.test_golden import GOLDEN, read

VECTORS = Path(__file__).parent / "fold_vectors.json"


@cache
def vectors() -> dict[str, Any]:
    """Return, by history: its attempts as the service tells them, and how its steps stood after each event."""
    return {path.stem: _vector(path) for path in GOLDEN}


def _vector(path: Path) -> dict[str, Any]:
    first, events = read(path)
    state, spans = _begin(first, events), Spans()
    if "original" in first:
        spans.inherit(ParseDict(event, history_pb2.HistoryEvent()) for event in first["original"])
    moments: dict[int, list[str]] = {}
    for event in events:
        evolve(state, event)
        spans.fold([event])
        moments[event.seq] = counted(state, spans)
    told = page(spans, run_view_pb2.GetSpansRequest(), 0)
    return {
        "spans": base64.b64encode(told.SerializeToString(deterministic=True)).decode(),
        "moments": moments,
    }


def _begin(first: dict[str, Any], events: list[history_pb2.HistoryEvent]) -> RunState:
    definition = ParseDict(first["definition"], d.WorkflowDefinition())
    state = RunState(run_id=events[0].run_id, workflow=compile_workflow(definition, "v1"))
    if "original" not in first:
        return state
    for event in first["original"]:
        evolve(state, ParseDict(event, history_pb2.HistoryEvent()))
    into = ParseDict(first.get("into", first["definition"]), d.WorkflowDefinition())
    version = "v2" if "into" in first else "v1"
    return fork_state(state, events[0].run_id, compile_workflow(into, version))


def counted(state: RunState, spans: Spans) -> list[str]:
    """Return "node status count" for the steps that have begun in this history.

    The state, and not the attempts, tells their status.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for path in spans.paths():
        step = state.steps.get(path)
        if step is not None and step.begun:
            place = (folded(path) or ("", path))[1]
            counts[place, int(step.status)] += 1
    return [f"{node} {status} {count}" for (node, status), count in sorted(counts.items())]


def text() -> str:
    """Return the file's text."""
    return json.dumps(vectors(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    VECTORS.write_text(text())
