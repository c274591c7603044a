from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from kaon_coordinator.telemetry import RunTelemetry
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_telemetry.tracing import SpanIds

from .engine.build import chain, step, workflow
from .engine.driver import Driver, failure


class Told:
    """Keeps the spans that it is told."""

    heard = True

    def __init__(self) -> None:
        self.spans: dict[str, tuple[SpanIds, Mapping[str, Any], str]] = {}

    def tell(
        self,
        name: str,
        ids: SpanIds,
        *,
        start_us: int,
        end_us: int,
        attributes: Mapping[str, Any],
        error: str = "",
    ) -> None:
        assert start_us <= end_us
        self.spans[name] = (ids, attributes, error)

    def close(self) -> None:
        """Nothing waits."""


def test_the_events_of_a_run_become_its_metrics_and_one_trace() -> None:
    driver = Driver(workflow(chain(step("a", attempts=2), step("b"))), lambda _: {"out": 1})
    tries = iter([failure(), {"out": 1}, {"out": 2}])
    driver.behaviour = lambda _: next(tries)  # type: ignore[return-value]
    driver.run()
    registry, told = CollectorRegistry(), Told()
    RunTelemetry(CoordinatorMetrics(registry), told).committed(driver.history)
    read = registry.get_sample_value
    assert read("kaon_runs_ended_total", {"status": "SUCCEEDED"}) == 1
    assert read("kaon_steps_ended_total", {"status": "SUCCEEDED"}) == 2
    assert read("kaon_step_retries_total") == 1
    assert read("kaon_step_queue_seconds_count") == 3
    assert read("kaon_events_total") == len(driver.history)
    run, a, b = told.spans["run test"], told.spans["step a"], told.spans["step b"]
    assert a[0].trace == b[0].trace == run[0].trace
    assert a[0].parent == b[0].parent == run[0].span
    assert a[1]["kaon.attempt"] == 2
    assert run[2] == ""
