"""A DAG that several times start, some with a delay at random: Maestro's sample-time-trigger-wf.json."""

from __future__ import annotations

from kaon import Workflow, run_info, steps

job1, job2, job3, job5, job6 = (steps.shell(f"job.{n}", ["true"]) for n in (1, 2, 3, 5, 6))
job4 = steps.shell(
    "job.4",
    ["echo", "${origin}"],
    origin=run_info()["origin"],
    stdout="origin",
    outputs={"origin": str},
)

workflow = Workflow(
    "time-trigger",
    job1 >> (job5 >> job3 | job2 >> (job3 | job6)) | (job3 | job6) >> job4,
    strategy="sequential",
    outputs={"origin": job4["origin"]},
)

EXPECTED = {"schedule": "time_trigger", "outputs": {"origin": "schedule:three-times"}}
