"""Extract, transform and load, by functions whose values travel: Airflow's tutorial_taskflow_api.py."""

from __future__ import annotations

from kaon import Workflow, steps


def extract() -> dict[str, dict[str, float]]:
    """Reads the orders."""
    return {"orders": {"1001": 301.27, "1002": 433.21, "1003": 502.22}}


def transform(orders: dict[str, float]) -> float:
    """Computes what all orders are worth."""
    return round(sum(orders.values()), 2)


def load(total: float) -> str:
    """Tells the result."""
    return f"Total order value is: {total:.2f}"


extracted = steps.python("extract", extract, outputs={"orders": dict})
worth = steps.python("transform", transform, orders=extracted["orders"], outputs={"total": float})
loaded = steps.python("load", load, total=worth["total"], outputs={"text": str})

workflow = Workflow(
    "tutorial-taskflow-api", extracted >> worth >> loaded, outputs={"text": loaded["text"]}
)

EXPECTED = {"outputs": {"text": "Total order value is: 1236.70"}}
