"""A run ends at once while another one is active, and waits for signals: Maestro's sample-dag-test-5.json (FIRST_ONLY)."""

from __future__ import annotations

from kaon import Workflow, param, signal, steps

day = param("day", int, default=20260101)
table = signal(
    "prod-db.foo.bar",
    fields=[param("dateint", int)],
    where="payload.dateint == params.day",
    timeout="1m",
)
other = signal("signal-b", timeout="1m")
job1, job2, job3 = (steps.shell(name, ["true"]) for name in ("job.1", "job.2", "job.3"))
show = steps.shell(
    "job.4", ["echo", "${day}"], day=table["payload"]["dateint"], stdout="day", outputs={"day": int}
)

workflow = Workflow(
    "first-only",
    (table | other) >> job1 >> (job2 | job3) >> show,
    strategy="first-only",
    parameters=[day],
    outputs={"day": show["day"]},
)

EXPECTED = [
    {
        "to_all": True,
        "signals": {"signal-b": {}},
        "late_signals": {"prod-db.foo.bar": {"dateint": 20260101}},
        "outputs": {"day": 20260101},
    },
    {"while_at": "signal-b", "status": "CANCELLED", "error": "AlreadyActive"},
]
