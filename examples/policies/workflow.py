"""Policies that are values of the run: concurrency, time-out, attempts, priority, tags and environment.

kaon run examples/policies/workflow.py -p 'zones={"eu": 2, "us": 1, "asia": 3}' -p attempts=3
"""

import zone_plans

from kaon import Retry, Workflow, each, expr, param, steps

# The zones, each with the priority of its step.
zones = param("zones", dict, default={"eu": 2, "us": 1})
attempts = param("attempts", int, default=2)

plan = steps.python("plan", zone_plans.plan, zones=zones, outputs={"limit": str, "at_once": int})
# A foreach over the keys of a parameter; how many cells run at once is known when `plan` has ended.
zone = each("zone", expr("keys(zones)", zones=zones), max_concurrency=plan["at_once"])
train = steps.python(
    "train",
    zone_plans.train,
    zone=zone,
    outputs={"rmse": float},
    timeout=plan["limit"],
    retry=Retry(max_attempts=attempts, backoff="1s"),
    priority=expr("zones[zone]", zones=zones, zone=zone),
    tags=[expr("'zone-' + zone", zone=zone)],
)
report = steps.shell(
    "report",
    ["sh", "-c", "echo $ZONES: $COUNT"],
    env={"ZONES": expr("keys(zones).join(' ')", zones=zones), "COUNT": plan["at_once"]},
    stdout="text",
    outputs={"text": str},
)

workflow = Workflow(
    "policies",
    plan >> train**zone >> report,
    outputs={"rmse": train["rmse"], "text": report["text"]},
)
