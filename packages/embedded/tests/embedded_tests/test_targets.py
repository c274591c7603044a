"""A part of a workflow is run, from a file and by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon.cli.main import execute
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WORKFLOW = """
from kaon import *
def step(name): return steps.shell(name, argv=["true"])
w = Workflow("parts", step("load") >> step("train") >> step("publish"))
"""


def test_a_part_of_a_workflow_is_run_from_a_file_and_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flow.py"
    file.write_text(WORKFLOW)
    settings = EmbeddedSettings(state=tmp_path / "state", slots=1)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:

        def ran(*words: str) -> list[str]:
            assert execute(["submit", *words, "--watch", "--server", system.address]) == 0
            (run, *_) = client.runs(limit=1)
            found = client.run(run.run_id).steps
            return [step.name for step in found if step.status == run_pb2.STATUS_SUCCEEDED]

        assert ran(str(file), "--until", "train") == ["load", "train"]
        assert ran("parts", "--only", "train", "--only", "publish") == ["train", "publish"]
        assert execute(["submit", "parts", "--only", "trian", "--server", system.address]) == 1
        assert "did you mean train?" in capfd.readouterr().err
        (ended, *_) = client.runs(limit=1)
        assert execute(["cancel", ended.run_id, "--server", system.address]) == 0
        told = f"It had ended: nothing is cancelled. Run {ended.run_id} is SUCCEEDED.\n"
        assert capfd.readouterr().out == told


@pytest.mark.parametrize(
    ("words", "useless"),
    [
        (("--resume", "-p", "n=1"), "-p has no effect with --resume"),
        (("--resume", "--discard", "--until", "b"), "--until and --discard have no effect"),
        (("--only", "a", "--until", "b"), "--until has no effect with --only"),
        (("--from", "01JD3Z"), "--from needs --only STEP"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], useless: str
) -> None:
    file = tmp_path / "flow.py"
    file.write_text(
        "from kaon import Workflow, param, steps\n"
        'n = param("n", "int", default=1)\n'
        'workflow = Workflow("w", steps.shell("a", argv=["x"]) >> steps.shell("b", argv=["x"]))\n'
    )

    assert execute(["run", str(file), "--state", str(tmp_path / "state"), *words]) == 2

    assert useless in capsys.readouterr().err
