"""A report waits for a title, is shown, and is published when somebody agrees: Flyte's waiting_for_external_inputs.py."""

from __future__ import annotations

from kaon import Workflow, approval, branch, param, signal, steps, timer, when

title = signal("title", fields=[param("title", str)], timeout="1h")
report = steps.shell(
    "report",
    ["echo", "${title}: 5 rows"],
    title=title["payload"]["title"],
    stdout="text",
    outputs={"text": str},
)
approve = approval("review-passes", message="Publish the report?", reject_fails=False, timeout="2h")
publish = steps.shell("publish", ["echo", "${text}"], text=report["text"])
invalid = steps.shell("invalid-report", ["true"])

workflow = Workflow(
    "external-inputs",
    title
    >> timer("sleep", after="20ms")
    >> report
    >> approve
    >> branch(when(approve["approved"], publish), otherwise=invalid),
    outputs={"report": report["text"]},
)

EXPECTED = [
    {
        "signals": {"title": {"title": "Sales"}},
        "approvals": {"review-passes": True},
        "outputs": {"report": "Sales: 5 rows"},
        "steps": {"branch=0/publish": "SUCCEEDED"},
    },
    {
        "signals": {"title": {"title": "Stock"}},
        "approvals": {"review-passes": False},
        "steps": {"branch=0/publish": "SKIPPED", "branch=else/invalid-report": "SUCCEEDED"},
    },
]
