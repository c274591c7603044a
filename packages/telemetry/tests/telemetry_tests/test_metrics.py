from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from kaon_telemetry.endpoint import MetricsServer
from kaon_telemetry.metrics import CoordinatorMetrics, PublisherMetrics, RunnerMetrics
from kaon_wire.errors import InvalidValue, Unavailable


def test_prometheus_reads_what_was_counted() -> None:
    registry = CollectorRegistry()
    CoordinatorMetrics(registry).runs_ended.labels("FAILED").inc(2)
    server = MetricsServer("127.0.0.1:0", registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
            assert 'kaon_runs_ended_total{status="FAILED"} 2.0' in answer.read().decode()
    finally:
        server.close()


def test_health_is_asked_for_at_the_same_address() -> None:
    well = False
    server = MetricsServer("127.0.0.1:0", CollectorRegistry(), healthy=lambda: well)
    url = f"http://127.0.0.1:{server.port}/health"
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url)
        refused.value.close()
        assert refused.value.code == 503
        well = True
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    finally:
        server.close()


def test_all_metrics_of_all_services_have_names_of_their_own() -> None:
    registry = CollectorRegistry()
    for metrics in (CoordinatorMetrics, RunnerMetrics, PublisherMetrics):
        metrics(registry)
    names = [family.name for family in registry.collect()]
    assert names
    assert all(name.startswith("kaon_") for name in names)


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(InvalidValue, match="KAON_METRICS: 'here' is not host:port"):
        MetricsServer("here")


def test_a_port_that_is_taken_is_told() -> None:
    server = MetricsServer("127.0.0.1:0", CollectorRegistry())
    try:
        with pytest.raises(Unavailable, match="cannot serve metrics"):
            MetricsServer(f"127.0.0.1:{server.port}", CollectorRegistry())
    finally:
        server.close()
