"""Runs for the past leave out what only the newest run needs: Airflow's example_latest_only_with_trigger.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kaon import Workflow, run_info, steps
from kaon.step import StepContext


def latest_only(context: StepContext, scheduled: str | None) -> None:
    """Is skipped in a run for more than a day ago; a run that somebody submits is the newest."""
    if scheduled and datetime.now(UTC) - datetime.fromisoformat(scheduled) > timedelta(days=1):
        context.skip("a newer run is due")


latest = steps.python("latest-only", latest_only, scheduled=run_info()["scheduled_time"])
task1, task2, task3, task4 = (steps.shell(f"task{number}", ["true"]) for number in range(1, 5))

workflow = Workflow(
    "latest-only-with-trigger",
    (latest >> task1.when_all_succeeded() >> (task3.when_all_succeeded() | task4.when_all_done()))
    | (task2 >> (task3 | task4)),
)

EXPECTED = [
    {
        "schedule": "latest_only",
        "at": "2026-01-01T04:00:00Z",
        "steps": {
            "latest-only": "SKIPPED",
            "task1": "SKIPPED",
            "task2": "SUCCEEDED",
            "task3": "SKIPPED",
            "task4": "SUCCEEDED",
        },
    },
    {"count": {"task1": 1, "task2": 1, "task3": 1, "task4": 1}},
]
