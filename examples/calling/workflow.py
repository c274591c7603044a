"""Other workflows, called in three ways: with a memo, with this workflow's parameters, and without waiting for their end.

kaon run examples/calling/workflow.py -p day=2026-11-29 --state .kaon/calling
kaon run examples/calling/workflow.py -p day=2026-11-29 --state .kaon/calling    # the rows are taken from the first run
"""

import daily_sales

from kaon import Workflow, param, steps, sub_workflow

day = param("day", "date", default="2026-11-24")
region = param("region", str, default="EU")

load = steps.python("load", daily_sales.load, region=region, day=day, outputs={"rows": int})
loading = Workflow("load-sales", load, outputs={"rows": load["rows"]})

refresh = steps.python(
    "refresh",
    daily_sales.refresh,
    day=day,
    delay=param("delay", int, default=0),
    outputs={"text": str},
)
dashboards = Workflow("dashboards", refresh, outputs={"text": refresh["text"]})

# `region` and `day` are passed on; an equal run of load-sales is not repeated.
loaded = sub_workflow("loaded", loading, pass_params=True, memo=True)
# `day` is passed on, and `region` is left out: dashboards has no such parameter.
dashboard = sub_workflow("dashboard", dashboards, wait=False, pass_params=True)
show = steps.python("show", daily_sales.show, run=dashboard["run_id"])

workflow = Workflow(
    "sales-of-a-day",
    loaded >> dashboard >> show,
    parameters=[day, region],
    outputs={"rows": loaded["rows"], "dashboard": dashboard["run_id"]},
)
