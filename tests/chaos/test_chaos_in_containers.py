"""The chaos suite, for as long as KAON_CHAOS_MINUTES says; `make chaos MINUTES=60` runs it alone."""

from __future__ import annotations

import os
import random

import chaos_suite
import pytest
from stack import Stack

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

MINUTES = float(os.environ.get("KAON_CHAOS_MINUTES") or 1)


def test_whatever_breaks_nothing_acknowledged_is_lost_or_done_twice(stack: Stack) -> None:
    seed = int(os.environ.get("KAON_CHAOS_SEED") or random.randrange(1_000_000))
    stack.up("--no-recreate", "--scale", "coordinator=2", "--scale", "step-runner=2")
    report = chaos_suite.run(stack, seconds=MINUTES * 60, seed=seed)
    print("\n".join(report.lines()), flush=True)
    assert report.faults
    assert len(report.steps.runs) > len(report.faults)
