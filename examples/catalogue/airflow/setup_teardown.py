"""Resources are set up and torn down around work that may fail: Airflow's example_setup_teardown.py."""

from __future__ import annotations

from kaon import Workflow, group, param, steps

fails = param("fails", bool, default=True)
root_setup, root_teardown = (
    steps.shell(name, ["true"]) for name in ("root-setup", "root-teardown")
)
work = steps.shell("normal", ["sh", "-c", "test ${fails} = false"], fails=fails)
setup = steps.shell("taskgroup-setup", ["true"])
# A teardown whose failure is no failure of the run.
teardown = steps.shell("taskgroup-teardown", ["false"]).optional()
section = group(setup >> work, name="section-1").finally_(teardown)

workflow = Workflow(
    "example-setup-teardown", group(root_setup >> section, name="root").finally_(root_teardown)
)

EXPECTED = [
    {
        "status": "FAILED",
        "steps": {
            "root/section-1/normal": "FAILED",
            "root/section-1/taskgroup-teardown": "FAILED",
            "root/root-teardown": "SUCCEEDED",
        },
    },
    {
        "params": {"fails": False},
        "steps": {
            "root/section-1/normal": "SUCCEEDED",
            "root/section-1/taskgroup-teardown": "FAILED",
            "root/root-teardown": "SUCCEEDED",
        },
    },
]
