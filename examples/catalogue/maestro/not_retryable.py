"""A failure that says itself that it is not to be tried again: Maestro's sample-kubernetes-nonretryable-wf.json."""

from __future__ import annotations

from kaon import Retry, Workflow, param, steps


class NotRetryable(Exception):
    """A further attempt would fail in the same way."""


def work(final: bool) -> None:
    """Fails."""
    raise NotRetryable("wrong input") if final else RuntimeError("bad luck")


job = steps.python(
    "job1",
    work,
    final=param("final", bool),
    retry=Retry(max_attempts=3, backoff="1ms", rules={NotRetryable: 1}),
)

workflow = Workflow("not-retryable", job)

EXPECTED = [
    {
        "params": {"final": True},
        "status": "FAILED",
        "error": "NotRetryable",
        "attempts": {"job1": 1},
    },
    {
        "params": {"final": False},
        "status": "FAILED",
        "error": "RuntimeError",
        "attempts": {"job1": 3},
    },
]
