"""Warm workers: every step finds the process as the first one did, and nothing of a step is left in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import MemorySystem, python
from processes import alive, read_pid

from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import PreparedStep
from kaon_runner.steptypes.python import PythonStepType
from kaonapi.step.v1 import step_pb2

CHANGES = [
    "cwd",
    "environ",
    "unset",
    "signal",
    "alarm",
    "stdout",
    "stderr",
    "stdin",
    "descriptor",
    "closed",
    "umask",
    "handler",
    "root",
    "filters",
    "locale",
    "path",
    "recursion",
]


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "code"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySystem]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "code"))
        with MemorySystem(tmp_path_factory.mktemp("work"), slots=1) as system:
            yield system


def run(system: MemorySystem, function: str, **rest: Any) -> step_pb2.StepEvent:
    wanted = python(function, **rest)
    system.release(wanted)
    return system.final(wanted.key)


def given(event: step_pb2.StepEvent) -> dict[str, Any]:
    assert event.WhichOneof("event") == "succeeded", event
    return {name: json.loads(text) for name, text in event.succeeded.outputs_json.items()}


def test_every_step_has_a_working_directory_of_its_own(system: MemorySystem) -> None:
    declared = {"text": "string", "there": "list", "place": "string"}
    wanted = [python("write_here", inputs={"text": str(n)}, outputs=declared) for n in range(4)]
    system.release(*wanted)
    found = [given(system.final(each.key)) for each in wanted]
    assert [each["text"] for each in found] == ["0", "1", "2", "3"]
    assert all(each["there"] == ["out.txt"] for each in found)
    assert len({each["place"] for each in found}) == 4
    assert not any(Path(each["place"]).exists() for each in found)


def test_steps_that_write_nothing_leave_nothing(tmp_path: Path, code: None) -> None:
    with MemorySystem(tmp_path, slots=2) as system:
        wanted = [python("whoami", outputs={"pid": "int"}) for _ in range(8)]
        system.release(*wanted)
        workers = {given(system.final(each.key))["pid"] for each in wanted}
        # One directory is kept by each worker for its next step.
        (steps,) = (tmp_path / "steps").iterdir()
        assert len(list(steps.iterdir())) <= len(workers)
        assert [path for path in steps.rglob("*") if path.is_file()] == []
    assert not steps.exists()


def test_what_a_step_type_collects_goes_to_no_directory_that_its_worker_keeps(
    tmp_path: Path, code: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(self: PythonStepType, step: PreparedStep, settings: Settings) -> None:
        for name in ("a", "b"):
            (step.directory.outputs / f"{name}.json").write_text("7")

    monkeypatch.setattr(PythonStepType, "collect", collect)
    with MemorySystem(tmp_path, slots=1) as system:
        wanted = [python("nothing", outputs={"a": "int", "b": "int"}) for _ in range(4)]
        system.release(*wanted)
        assert [given(system.final(each.key)) for each in wanted] == [{"a": 7, "b": 7}] * 4
        (steps,) = (tmp_path / "steps").iterdir()
        system.wait(lambda: list(steps.iterdir()) == [])


def test_a_relative_path_is_an_artifact_of_its_own_step(system: MemorySystem) -> None:
    wanted = [
        python("relative_model", inputs={"text": "x" * (n + 1)}, outputs={"model": "model"})
        for n in range(4)
    ]
    system.release(*wanted)
    sizes = [given(system.final(each.key))["model"]["artifact"]["size"] for each in wanted]
    assert sizes == [1, 2, 3, 4]


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_step_changes_in_its_process_is_not_there_for_the_next(
    system: MemorySystem, what: str
) -> None:
    before = given(run(system, "observe", outputs={"state": "string"}))
    assert run(system, "disturb", inputs={"what": what}).WhichOneof("event") == "succeeded"
    wanted = python("observe", outputs={"state": "string"})
    system.release(wanted)
    assert given(system.final(wanted.key)) == before
    system.wait(lambda: [line.text for line in system.lines(wanted.key)] == ["seen"])


@pytest.mark.parametrize("how", ["child", "grandchild"])
def test_what_a_step_started_is_gone_when_its_result_is_told(
    system: MemorySystem, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "pid"
    event = run(system, "leave_child", inputs={"path": str(path), "how": how})
    assert event.WhichOneof("event") == "succeeded"
    assert not alive(read_pid(path))


def test_a_thread_that_a_step_leaves_says_nothing_for_the_next(system: MemorySystem) -> None:
    first, after = (
        python("leave_thread", outputs={"pid": "int"}),
        python("whoami", outputs={"pid": "int"}),
    )
    system.release(first, after)
    pids = {given(system.final(each.key))["pid"] for each in (first, after)}
    assert len(pids) == 2
    assert not system.lines(after.key)
    assert system.of(after.key) == ["started", "succeeded"]
    system.wait(lambda: any("left threads" in line.text for line in system.lines(first.key)))


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
@pytest.mark.parametrize(("how", "code"), [("exit", 0), ("raise", 1), ("return", 0)])
def test_the_end_of_a_forked_process_is_not_that_of_the_step(
    system: MemorySystem, isolation: str, how: str, code: int
) -> None:
    event = run(system, "fork_and", inputs={"how": how}, isolation=isolation)
    assert event.WhichOneof("event") == "failed"
    assert event.failed.error.message.startswith(f"the parent failed, the child ended with {code}")


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_forked_process_cannot_report_for_the_step(system: MemorySystem, isolation: str) -> None:
    wanted = python("report_from_fork", outputs={"code": "int"}, isolation=isolation)
    system.release(wanted)
    assert given(system.final(wanted.key)) == {"code": 3}
    assert system.of(wanted.key) == ["started", "succeeded"]
