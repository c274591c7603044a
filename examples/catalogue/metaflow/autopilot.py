"""A flow that a schedule starts, with the day as its parameter: Metaflow's tutorials/08-autopilot."""

from __future__ import annotations

from kaon import Workflow, param, run_info, steps

day = param("day", "date", default="2026-01-01")
show = steps.shell(
    "show",
    ["echo", "${day} ${origin}"],
    day=day,
    origin=run_info()["origin"],
    stdout="text",
    outputs={"text": str},
)

workflow = Workflow("autopilot", show, outputs={"text": show["text"]})

EXPECTED = {
    "schedule": "autopilot",
    "at": "2026-11-24T02:00:00Z",
    "outputs": {"text": "2026-11-24 schedule:nightly-playlist"},
}
