"""How a run shows itself in a notebook. All that comes from runs is escaped: notebooks execute what they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2, run_service_pb2

# Steps that are shown; the rest is counted.
_MOST = 100
_LONGEST = 300
_COLOURS = {
    run_pb2.STATUS_SUCCEEDED: "#1a7f37",
    run_pb2.STATUS_FAILED: "#cf222e",
    run_pb2.STATUS_TIMED_OUT: "#cf222e",
    run_pb2.STATUS_QUARANTINED: "#cf222e",
    run_pb2.STATUS_RUNNING: "#0969da",
}


def page(found: run_service_pb2.GetRunResponse, outputs: Mapping[str, Any]) -> str:
    """Return a run with its parameters, outputs and steps as HTML."""
    run = found.run
    head = f"<b>{_text(run.workflow)}</b> {_status(run.status)} <code>{_text(run.run_id)}</code>"
    parts = [f"<div>{head}</div>"]
    if run.HasField("error"):
        parts.append(f"<pre>{_text(f'{run.error.type}: {run.error.message}')}</pre>")
    params = {name: run.params_json[name] for name in sorted(run.params_json)}
    parts += [_values("parameters", params), _values("outputs", outputs)]
    rows = [_row(step) for step in found.steps[:_MOST]]
    if rows:
        parts.append(_table(("step", "status", "attempt", "progress", "error"), rows))
    if (more := len(found.steps) - _MOST) > 0:
        parts.append(f"<div>and {counted(more, 'more step')}</div>")
    return "".join(parts)


def status_text(status: run_pb2.Status.ValueType) -> str:
    """Return a status as text, such as "RUNNING"."""
    return run_pb2.Status.Name(status).removeprefix("STATUS_")


def _values(title: str, values: Mapping[str, Any]) -> str:
    return _table((title, ""), [(_text(name), _text(value)) for name, value in values.items()])


def _row(step: run_pb2.StepView) -> tuple[str, ...]:
    told = f"{step.error.type}: {step.error.message}" if step.HasField("error") else ""
    progress = f"{step.progress:.0%} {step.progress_message}" if step.progress else ""
    attempt = str(step.attempt)
    return _text(step.path), _status(step.status), attempt, _text(progress), _text(told)


def _table(titles: Iterable[str], rows: list[tuple[str, ...]]) -> str:
    """Make a table of cells that are escaped already; nothing when it has no row."""
    if not rows:
        return ""
    head = "".join(f"<th style='text-align:left'>{title}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _status(status: run_pb2.Status.ValueType) -> str:
    return f"<span style='color:{_COLOURS.get(status, 'inherit')}'>{status_text(status)}</span>"


def _text(value: object) -> str:
    text = str(value)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
