"""Items from an artifact, and joined results that are too long to travel."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import load

from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_foreach_over_json_lines_joins_a_list_that_the_next_step_gets(tmp_path: Path) -> None:
    with (
        EmbeddedSystem(EmbeddedSettings(state=tmp_path, slots=2)) as system,
        Client(Endpoints(server=system.address)) as client,
    ):
        run_id = client.submit(load("lists/workflow.py"), {"count": 1500}).run.run_id
        for _ in client.watch(run_id):
            pass
        found = client.run(run_id)
    assert found.run.status == run_pb2.STATUS_SUCCEEDED, found.run.error
    outputs = {step.path: step.outputs_json for step in found.steps}
    assert outputs["total"]["total"] == str(2 * sum(range(1500)))
    assert "rows[row-7]/double" in outputs
