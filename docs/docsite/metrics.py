"""The reference of metrics, from the registry in which the services declare them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from docsite.text import plain, table
from kaon_telemetry.metrics import (
    ConsoleMetrics,
    CoordinatorMetrics,
    PublisherMetrics,
    RunnerMetrics,
    ViewMetrics,
)

SERVICES = {
    "Coordinator": CoordinatorMetrics,
    "View service": ViewMetrics,
    "Step-runner": RunnerMetrics,
    "Model-publisher": PublisherMetrics,
    "Console": ConsoleMetrics,
}


def page() -> str:
    """All metrics of all services."""
    parts = [
        "# Metrics\n",
        "Every service serves these to Prometheus at `KAON_METRICS`. Times are seconds. "
        "A histogram `x` has the series `x_bucket`, `x_count` and `x_sum`.\n",
    ]
    for service, kind in SERVICES.items():
        declared = [
            m for m in vars(kind(CollectorRegistry())).values() if isinstance(m, MetricWrapperBase)
        ]
        parts += [
            f"## {service}\n",
            table(("Metric", "Type", "Labels", "Meaning"), map(_row, declared)),
        ]
    return "\n".join(parts)


def _row(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{name}`", family.type, labels, plain(family.documentation)
