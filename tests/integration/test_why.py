"""Why a step waits, asked of a running system."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import load, until

from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.runner.v1 import runner_pb2 as r

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def causes(found: r.ExplainStepResponse) -> list[tuple[str, str]]:
    """The chain: each cause, and what it is about."""
    return [
        (r.WaitCause.Name(reason.cause).removeprefix("WAIT_CAUSE_"), reason.path)
        for reason in found.reasons
    ]


def test_a_step_says_what_it_waits_for_up_to_the_runner_that_is_missing(tmp_path: Path) -> None:
    with (
        EmbeddedSystem(EmbeddedSettings(state=tmp_path, slots=2)) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        run_id = client.submit(load("waiting/workflow.py")).run.run_id
        until(
            lambda: causes(client.why(run_id, "after"))[-1][0] == "NO_LABEL",
            seconds=20,
            what="the step waits for a runner",
        )
        found = client.why(run_id, "after")
        demands = client.list_pools().pools[0].demands

    assert causes(found) == [("WAITS_FOR", "after"), ("NO_LABEL", "needs-gpu")]
    assert found.text == (
        "after waits for needs-gpu. needs-gpu: No runner has accelerator=a100 (1 in pool 'default')."
    )
    assert (found.pool, list(found.reasons[1].labels)) == ("default", ["accelerator=a100"])
    (demand,) = demands
    assert (demand.steps, demand.wanted.slots, demand.wanted.gpu, demand.impossible) == (1, 2, 1, 1)
    assert "accelerator=a100" in demand.labels
