"""Compares two runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kaon.cli import formatting, values
from kaonapi.run.v1 import run_pb2, run_service_pb2

# A time differs when it is longer by this share, and by these seconds.
_SHARE = 0.5
_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One property of both runs, as text; empty where a run does not have it."""

    what: str
    first: str
    second: str


def differences(
    one: run_service_pb2.GetRunResponse, other: run_service_pb2.GetRunResponse
) -> Iterator[Difference]:
    """Yield what differs: of the runs first, then of each step in the order of the first run, then of steps of the second alone."""
    compared = [
        _words("workflow", one.run.workflow, other.run.workflow),
        _words("version", one.run.version[:19], other.run.version[:19]),
        _words("status", formatting.status(one.run.status), formatting.status(other.run.status)),
        *_times("time", one.run, other.run),
        *_by_name("parameter", one.run.params_json, other.run.params_json),
        *_by_name("label", one.run.labels, other.run.labels),
        *_by_name("output", one.run.outputs_json, other.run.outputs_json),
    ]
    yield from (each for each in compared if each.first != each.second)
    ours, theirs = ({step.path: step for step in run.steps} for run in (one, other))
    for path in dict.fromkeys([*ours, *theirs]):
        steps = _steps(
            path, ours.get(path, run_pb2.StepView()), theirs.get(path, run_pb2.StepView())
        )
        yield from (each for each in steps if each.first != each.second)


def _steps(path: str, one: run_pb2.StepView, other: run_pb2.StepView) -> Iterator[Difference]:
    yield _words(f"{path} status", _status(one), _status(other))
    if not (one.path and other.path):
        return
    yield _words(f"{path} attempts", str(one.attempt), str(other.attempt))
    yield _words(f"{path} error", one.error.message, other.error.message)
    yield from _times(f"{path} time", one, other)
    yield from _by_name(f"{path} output", one.outputs_json, other.outputs_json)
    ours, theirs = (
        {name: f"{value:.6g}" for name, value in step.metrics.items()} for step in (one, other)
    )
    yield from _by_name(f"{path} metric", ours, theirs)


def _status(step: run_pb2.StepView) -> str:
    return formatting.status(step.status) if step.path else ""


def _words(what: str, first: str, second: str) -> Difference:
    return Difference(what=what, first=first, second=second)


def _by_name(kind: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted({*one, *other}):
        yield _words(f"{kind} {name}", one.get(name, ""), other.get(name, ""))


def _times(
    what: str, one: run_pb2.Run | run_pb2.StepView, other: run_pb2.Run | run_pb2.StepView
) -> Iterable[Difference]:
    """Compare how long two things took, when both have ended."""
    short, long = sorted((_seconds(one), _seconds(other)))
    if short >= 0 and long - short > max(_SECONDS, _SHARE * short):
        yield _words(what, values.took(one), values.took(other))


def _seconds(timed: run_pb2.Run | run_pb2.StepView) -> float:
    """Return the duration in seconds; -1 for what has not ended."""
    if not (timed.HasField("start_time") and timed.HasField("end_time")):
        return -1
    return (timed.end_time.ToNanoseconds() - timed.start_time.ToNanoseconds()) / 1e9
