"""A run for two datasets that are there, and parameters from what happened: Maestro's sample-signal-trigger-wf.json."""

from __future__ import annotations

from kaon import Workflow, param, steps

partition = param("partition", str)
watermark = param("watermark", int)
job = steps.shell(
    "job.1",
    ["echo", "${partition} ${watermark}"],
    partition=partition,
    watermark=watermark,
    stdout="text",
    outputs={"text": str},
)

workflow = Workflow("signal-trigger", job, strategy="sequential", outputs={"text": job["text"]})

EXPECTED = {
    "schedule": "signal_trigger",
    "records": [
        ("signal-a", "bat", {"watermark": 5}),
        ("signal-a", "bat", {"watermark": 12345}),
        ("signal-b", "baz", {"watermark": 22222}),
    ],
    "outputs": {"text": "bat 12345"},
}
