"""The stages of a hop: they add up to it, whichever way it went."""

from __future__ import annotations

import pytest

from benchmarks.ledger import Execution
from benchmarks.trace_hop import Stage, hop_stages, read_stamps, trigger_stages
from kaon_wire import topics
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

_A = Execution(step="a", start=1_000_000, end=2_000_000)
_B = Execution(step="b", start=9_000_000, end=9_500_000)


def _event(path: str, at: int, *, succession: bytes = b"", **kind: object) -> step_pb2.StepEvent:
    key = step_pb2.StepKey(run_id="r", path=path, succession=succession)
    return step_pb2.StepEvent(key=key, time_us=at, **kind)  # type: ignore[arg-type]


def _reported(at: float, *events: step_pb2.StepEvent) -> tuple[str, float, bytes]:
    return topics.STEP_EVENTS, at, step_pb2.StepEvents(events=events).SerializeToString()


def _released(at: float, path: str, run: str = "r") -> tuple[str, float, bytes]:
    request = step_pb2.StepRequest(key=step_pb2.StepKey(run_id=run, path=path))
    value = step_pb2.StepReleases(releases=[request]).SerializeToString()
    return topics.step_ready("default"), at, value


def _ready(path: str, at: int) -> history_pb2.HistoryEvent:
    return history_pb2.HistoryEvent(
        time_us=at, step_became_ready=history_pb2.StepBecameReady(path=path)
    )


def _total(stages: list[Stage]) -> float:
    return sum(milliseconds for _, milliseconds in stages)


def test_the_stages_of_a_hop_by_request_add_up_to_it() -> None:
    records = [
        _reported(4_000.0, _event("a", 3_000, succeeded=step_pb2.StepSucceeded())),
        _released(6_000.0, "b"),
        _released(1.0, "b", run="of another"),
        _reported(8_000.0, _event("b", 7_000, started=step_pb2.StepStarted())),
    ]
    kind, stages = hop_stages(_A, _B, read_stamps([_ready("b", 5_000)], records, "r"))
    assert kind == "hop by request"
    assert [milliseconds for _, milliseconds in stages] == [1, 1, 1, 1, 1, 2]
    assert _total(stages) == pytest.approx((_B.start - _A.end) / 1e6)


def test_the_stages_of_a_hop_by_succession_add_up_to_it_without_a_release() -> None:
    told = [
        _event("a", 3_000, succeeded=step_pb2.StepSucceeded()),
        _event("b", 3_500, succession=b"x", started=step_pb2.StepStarted()),
    ]
    kind, stages = hop_stages(_A, _B, read_stamps([], [_reported(4_000.0, *told)], "r"))
    assert kind == "hop by succession"
    assert [milliseconds for _, milliseconds in stages] == [1, 0.5, 5.5]


def test_a_report_that_comes_twice_counts_as_it_came_first() -> None:
    event = _event("b", 7_000, started=step_pb2.StepStarted())
    records = [_released(6_000.0, "b"), _released(9_000.0, "b")]
    records += [_reported(at, event) for at in (8_000.0, 9_000.0)]
    stages = trigger_stages(1_000_000, _B, read_stamps([_ready("b", 5_000)], records, "r"))
    assert [milliseconds for _, milliseconds in stages] == [4, 1, 1, 2]
