"""What `kaon diff` tells of two runs."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from kaon.cli.comparing import Difference, differences
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.step.v1 import step_pb2


def step(path: str, *, seconds: int = 5, **fields: Any) -> run_pb2.StepView:
    """A step that took so long."""
    times = {"start_time": Timestamp(seconds=100), "end_time": Timestamp(seconds=100 + seconds)}
    return run_pb2.StepView(
        path=path, attempt=1, status=run_pb2.STATUS_SUCCEEDED, **times, **fields
    )


def run(*steps: run_pb2.StepView, **fields: Any) -> run_service_pb2.GetRunResponse:
    """A run with these steps."""
    return run_service_pb2.GetRunResponse(run=run_pb2.Run(workflow="w", **fields), steps=steps)


def told(
    one: run_service_pb2.GetRunResponse, other: run_service_pb2.GetRunResponse
) -> list[tuple[str, str, str]]:
    """All differences, as tuples."""
    return [(each.what, each.first, each.second) for each in differences(one, other)]


def test_runs_that_are_alike_have_no_difference() -> None:
    one = run(step("a", metrics={"loss": 0.25}), params_json={"rows": "3"}, run_id="1")
    other = run(step("a", metrics={"loss": 0.25}), params_json={"rows": "3"}, run_id="2")
    assert told(one, other) == []


def test_parameters_labels_outputs_and_metrics_are_compared_by_name() -> None:
    one = run(
        step("a", metrics={"loss": 0.25}), params_json={"rows": "3"}, labels={"team": "search"}
    )
    other = run(
        step("a", metrics={"loss": 0.5}, outputs_json={"n": "1"}), params_json={"rows": "4"}
    )
    assert told(one, other) == [
        ("parameter rows", "3", "4"),
        ("label team", "search", ""),
        ("a output n", "", "1"),
        ("a metric loss", "0.25", "0.5"),
    ]


def test_a_step_that_only_one_run_has_is_told_once() -> None:
    one, other = run(step("a"), step("b", metrics={"loss": 1})), run(step("a"), step("c"))
    assert told(one, other) == [("b status", "SUCCEEDED", ""), ("c status", "", "SUCCEEDED")]


def test_times_differ_by_half_and_a_second_and_only_of_what_has_ended() -> None:
    one = run(step("long", seconds=10), step("near", seconds=10), step("short", seconds=0))
    other = run(step("long", seconds=16), step("near", seconds=14), step("short", seconds=1))
    assert list(differences(one, other)) == [
        Difference(what="long time", first="10s", second="16s")
    ]
    del other.steps[:]
    other.steps.append(run_pb2.StepView(path="long", attempt=1, status=run_pb2.STATUS_SUCCEEDED))
    assert [what for what, _, _ in told(one, other)] == ["near status", "short status"]


def test_the_error_and_the_attempts_of_a_step_are_compared() -> None:
    failed = step_pb2.StepError(type="ValueError", message="no rows")
    one = run(run_pb2.StepView(path="a", attempt=2, status=run_pb2.STATUS_FAILED, error=failed))
    assert told(
        one, run(run_pb2.StepView(path="a", attempt=1, status=run_pb2.STATUS_SUCCEEDED))
    ) == [
        ("a status", "FAILED", "SUCCEEDED"),
        ("a attempts", "2", "1"),
        ("a error", "no rows", ""),
    ]
