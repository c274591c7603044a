"""A chain whose middle may be left out by conditions over parameters: Maestro's sample-conditional-wf.json."""

from __future__ import annotations

from kaon import Workflow, branch, expr, param, steps, when

start = param("start", int, default=15)
job1, job2 = (steps.shell(name, ["true"]) for name in ("job.1", "job.2"))
job3 = steps.shell(
    "job.3", ["echo", "${value}"], value=start, stdout="param2", outputs={"param2": int}
)
job4, job5, job6 = (steps.shell(name, ["true"]) for name in ("job.4", "job.5", "job.6"))
job7 = steps.shell(
    "job.7", ["echo", "${value}"], value=start, stdout="param5", outputs={"param5": int}
)
detour = branch(when(expr("x < 0", x=job3["param2"]), job4 >> job5), otherwise=None)

workflow = Workflow(
    "conditional-chain",
    job1 >> job2 >> job3 >> detour >> job6 >> job7,
    outputs={"param5": job7["param5"]},
)

EXPECTED = [
    {
        "outputs": {"param5": 15},
        "steps": {"branch=0/job.4": "SKIPPED", "branch=0/job.5": "SKIPPED", "job.6": "SUCCEEDED"},
    },
    {
        "params": {"start": -1},
        "steps": {
            "branch=0/job.4": "SUCCEEDED",
            "branch=0/job.5": "SUCCEEDED",
            "job.6": "SUCCEEDED",
        },
    },
]
