"""Steps that wait for a time, a file and a condition, and one that gives up without failing: Airflow's example_sensors.py."""

from __future__ import annotations

from pathlib import Path

from kaon import Workflow, param, repeat, steps, timer


def exists(path: str) -> bool:
    """Looks for a file."""
    return Path(path).exists()


wait = timer("wait-some-time", after="50ms")
path = param("path", str)
look = steps.python("look", exists, path=path, outputs={"there": bool})
found = repeat(look, until=look["there"], max_iterations=100, backoff="20ms", name="file")
never = steps.shell("never", ["echo", "false"], stdout="good", outputs={"good": bool})
soft = repeat(never, until=never["good"], max_iterations=2, exhausted="skip", name="soft-fail")
write = steps.shell("write", ["touch", "${path}"], path=path)
last = steps.shell("bash", ["true"])
after = steps.shell("after-soft-fail", ["true"])

workflow = Workflow(
    "example-sensors",
    (wait >> write) | (found >> last) | (soft >> after.when_all_succeeded()),
)

EXPECTED = {
    "params": {"path": "{tmp}/flag"},
    "steps": {"bash": "SUCCEEDED", "after-soft-fail": "SKIPPED"},
    "count": {"never": 2},
}
