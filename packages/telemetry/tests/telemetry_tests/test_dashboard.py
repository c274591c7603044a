"""What dashboard and alerts ask for is what the services tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kaon_telemetry.metrics import CoordinatorMetrics, PublisherMetrics, RunnerMetrics

OBSERVABILITY = Path(__file__).parents[4] / "deploy" / "observability"


def declared() -> set[str]:
    registry = CollectorRegistry()
    for metrics in (CoordinatorMetrics, RunnerMetrics, PublisherMetrics):
        metrics(registry)
    names = set()
    for family in registry.collect():
        names |= (
            {family.name, f"{family.name}_total"} if family.type == "counter" else {family.name}
        )
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
    return names


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "alerts.yml"])
def test_every_metric_that_is_asked_for_exists(file: str) -> None:
    asked = set(re.findall(r"\bkaon_\w+", (OBSERVABILITY / file).read_text()))
    assert asked
    assert asked <= declared()


def test_the_dashboard_is_json_with_panels_side_by_side() -> None:
    panels = json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
