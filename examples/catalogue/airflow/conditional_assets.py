"""A run for assets that others have updated, joined by "and" and "or": Airflow's example_assets.py (conditional)."""

from __future__ import annotations

from kaon import Workflow, dataset, run_info, steps

consume = steps.shell(
    "consuming",
    ["echo", "${origin}"],
    origin=run_info()["origin"],
    stdout="text",
    outputs={"text": str},
    produces=[dataset("consumed")],
)

workflow = Workflow("conditional-assets", consume, outputs={"text": consume["text"]})

EXPECTED = {
    "schedule": "conditional_assets",
    "records": [("dag2-output", "", {}), ("dag1-output", "", {})],
    "outputs": {"text": "schedule:consume-1-and-2-or-3"},
}
