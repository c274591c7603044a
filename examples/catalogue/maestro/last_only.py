"""Only the newest run goes on, and cancels those before it: Maestro's sample-dag-test-9.json (run strategy LAST_ONLY)."""

from __future__ import annotations

from kaon import Workflow, param, signal, steps

number = param("number", int)
wait = signal("go", timeout="1m")
final = steps.shell("final", ["echo", "${number}"], number=number, stdout="n", outputs={"n": int})

workflow = Workflow("last-only", wait >> final, strategy="last-only", outputs={"n": final["n"]})

EXPECTED = [
    {"params": {"number": 1}, "status": "CANCELLED", "steps": {"final": "SKIPPED"}},
    {"params": {"number": 2}, "while_at": "go", "signals": {"go": {}}, "outputs": {"n": 2}},
]
