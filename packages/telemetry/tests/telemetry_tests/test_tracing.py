from __future__ import annotations

import json
from pathlib import Path

from kaon_telemetry.tracing import (
    NoSpans,
    inner_span,
    is_trace_parent,
    open_spans,
    run_span,
    step_span,
)

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_run_continues_the_trace_of_who_submitted_it() -> None:
    run = run_span("r1", CLIENT)
    assert run.trace == 0x0AF7651916CD43DD8448EB211C80319C
    assert run.parent == 0xB7AD6B7169203331


def test_without_a_client_the_trace_follows_from_the_run() -> None:
    assert run_span("r1") == run_span("r1", "nonsense")
    assert run_span("r1").trace != run_span("r2").trace
    assert run_span("r1").parent == 0


def test_a_step_of_the_same_issue_is_the_same_span_for_whoever_speaks_of_it() -> None:
    run = run_span("r1", CLIENT)
    step = step_span(run, "r1", "a", 1)
    assert step == step_span(run_span("r1", CLIENT), "r1", "a", 1)
    assert step.span != step_span(run, "r1", "a", 2).span
    assert step.parent == run.span
    assert is_trace_parent(step.trace_parent)
    inner = inner_span(step.trace_parent, "attempt")
    assert inner is not None
    assert (inner.trace, inner.parent) == (step.trace, step.span)


def test_spans_are_appended_to_a_file_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    spans = open_spans("kaon-test", {"KAON_TRACES": str(path)})
    run = run_span("r1")
    spans.tell(
        "run w",
        run,
        start_us=1_000_000,
        end_us=3_000_000,
        attributes={"kaon.run": "r1"},
        error="no",
    )
    spans.close()
    (line,) = path.read_text().splitlines()
    span = json.loads(line)
    assert span["name"] == "run w"
    assert span["context"]["trace_id"] == f"0x{run.trace:032x}"
    assert span["start_time"].startswith("1970-01-01T00:00:01")
    assert span["status"] == {"status_code": "ERROR", "description": "no"}
    assert span["resource"]["attributes"]["service.name"] == "kaon-test"


def test_tracing_is_off_unless_it_is_asked_for() -> None:
    assert isinstance(open_spans("kaon-test", {}), NoSpans)
