"""A run that is retried goes on with the runs of its sub-workflows: what has succeeded in them is not executed again."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2, run_service_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WORKFLOW = """
import pathlib
from kaon import Workflow, param, steps, sub_workflow

def prepare(place, number):
    with open(f"{{place}}/executed", "a") as file:
        file.write(f"{{number}}\\n")

def check(place, number):
    if number == 2 and not pathlib.Path(place, "mended").exists():
        raise ValueError("not yet")
    return {{"n": number}}

given = {{"place": {place!r}, "number": param("number", int)}}
last = steps.python("check", check, outputs={{"n": int}}, **given)
child = Workflow("child", steps.python("prepare", prepare, **given) >> last, outputs={{"n": last["n"]}})
one, two = sub_workflow("one", child, number=1), sub_workflow("two", child, number=2)
workflow = Workflow("parent", one >> two, outputs={{"n": two["n"]}})
"""


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    """The run after its end."""
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


def test_what_has_succeeded_in_a_child_is_not_executed_again(tmp_path: Path) -> None:
    file, place = tmp_path / "flow.py", tmp_path / "place"
    place.mkdir()
    file.write_text(WORKFLOW.format(place=str(place)))
    settings = EmbeddedSettings(state=tmp_path / "state", slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        failed = ended(client, client.submit(load_workflow(file)).run.run_id)
        assert failed.run.status == run_pb2.STATUS_FAILED
        assert "two: run " in failed.run.error.message
        (place / "mended").touch()
        client.retry(failed.run.run_id)
        done = ended(client, failed.run.run_id)
    assert done.run.status == run_pb2.STATUS_SUCCEEDED, done.run.error
    assert dict(done.run.outputs_json) == {"n": "2"}
    assert (place / "executed").read_text().split() == ["1", "2"]
    assert [block.child_run_id for block in done.blocks] == [
        block.child_run_id for block in failed.blocks
    ]
