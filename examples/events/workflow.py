"""A report that waits for the sales of its day, which another workflow adds up.

kaon submit examples/events/workflow.py -p day=2026-11-24      # waits
kaon submit examples/schedule/workflow.py -p day=2026-11-24    # lets it go on
kaon datasets events sales-reports                             # what it has updated, and what that started
"""

import reporting

from kaon import Workflow, dataset, last_run, param, steps

day = param("day", "date")
sales = last_run("sales", "daily-sales", params={"day": day}, outputs={"total": int}, timeout="6h")
report = steps.python(
    "report",
    reporting.write,
    day=day,
    total=sales["total"],
    run=sales["run_id"],
    outputs={"text": str},
    produces=[dataset("sales-reports", partition=day)],
)

workflow = Workflow("sales-report", sales >> report, outputs={"text": report["text"]})
