"""A workflow that stands for a day: a schedule runs it every night, a backfill for days that have passed.

kaon submit examples/schedule/workflow.py -p day=2026-11-24      # registers it
kaon schedule put examples/schedule/nightly.toml
kaon backfill daily-sales day 2026-11-01 2026-11-23 --at-once 4
"""

import sales

from kaon import Retry, Workflow, param, steps

day = param("day", "date", description="the day to add up")
region = param("region", str, default="EU", choices=["EU", "US", "APAC"])
add_up = steps.python(
    "add-up",
    sales.add_up,
    day=day,
    region=region,
    outputs={"total": int},
    # At most as many at once as `kaon permits set warehouse 4` says.
    tags=["warehouse"],
    retry=Retry(max_attempts=3, jitter=0.2, rules={"ConnectionError": 10, ValueError: 1}),
)

workflow = Workflow(
    "daily-sales",
    add_up,
    outputs={"total": add_up["total"]},
    max_active_runs=8,
    timeout="2h",
    deadline="30m",
)
