"""A DAG for each date of a range: Maestro's sample-foreach-wf.json."""

from __future__ import annotations

from kaon import Workflow, each, expr, param, steps

first = param("first", "date", default="2020-01-01")
last = param("last", "date", default="2020-01-11")
dates = expr("dates(first, last).map(day, day.replace('-', ''))", first=first, last=last)
date = each("date", dates, max_concurrency=5)
job1, job2, job3, job4, job5, job6 = (
    steps.shell(
        f"job.{number}", ["echo", "${date}"], date=date, stdout="date", outputs={"date": str}
    )
    for number in range(1, 7)
)

workflow = Workflow(
    "foreach-dates",
    (job1 >> (job5 >> job3 | job2 >> (job3 | job6)) | (job3 | job6) >> job4) ** date,
    strategy="sequential",
    outputs={"dates": job4["date"]},
)

EXPECTED = {
    "params": {"first": "2020-01-31", "last": "2020-02-02"},
    "outputs": {"dates": ["20200131", "20200201"]},
    "count": {f"job.{number}": 2 for number in range(1, 7)},
}
