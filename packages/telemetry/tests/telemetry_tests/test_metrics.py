from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kaon_telemetry.endpoint import MetricsServer, metrics_token
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


def test_metrics_take_a_token_and_health_takes_none() -> None:
    server = MetricsServer("127.0.0.1:0", CollectorRegistry(), token="a" * 20)
    place = f"http://127.0.0.1:{server.port}"
    try:
        for shown in ("", "Bearer", f"Bearer {'b' * 20}", f"Basic {'a' * 20}", "Bearer \xe9"):
            request = urllib.request.Request(f"{place}/metrics", headers={"Authorization": shown})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request)
            refused.value.close()
            assert refused.value.code == 401
        right = {"Authorization": f"Bearer {'a' * 20}"}
        for request in (
            urllib.request.Request(f"{place}/metrics", headers=right),
            urllib.request.Request(f"{place}/health"),
        ):
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
    finally:
        server.close()


@pytest.mark.parametrize("address", ["127.0.0.1:9400", "[::1]:9400", "localhost:9400", ""])
def test_on_this_machine_metrics_need_no_token(address: str) -> None:
    assert metrics_token({"KAON_METRICS": address}) == ""


@pytest.mark.parametrize("address", ["0.0.0.0:9400", "[::]:9400", "10.0.0.1:9400", "here:9400"])
def test_where_others_reach_metrics_a_token_is_given_or_refused_in_words(
    address: str, tmp_path: Path
) -> None:
    told = {"KAON_METRICS": address}
    with pytest.raises(InvalidValue, match="KAON_METRICS_TOKEN_FILE=none"):
        metrics_token(told)
    assert metrics_token(told | {"KAON_METRICS_TOKEN_FILE": "none"}) == ""
    file = tmp_path / "token"
    file.write_text("short\n")
    with pytest.raises(InvalidValue, match="has 5 characters; at least 16"):
        metrics_token(told | {"KAON_METRICS_TOKEN_FILE": str(file)})
    file.write_text(f"{'t' * 20}\n")
    assert metrics_token(told | {"KAON_METRICS_TOKEN_FILE": str(file)}) == "t" * 20
