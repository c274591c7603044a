"""Why steps fail, and that a process which cannot start does not start for ever."""

from __future__ import annotations

import json
import math
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, request

from kaon_artifacts import ArtifactStore
from kaon_runner.logs.step_log import STDOUT, StepLog
from kaon_runner.logs.store import LogStore
from kaon_runner.outbox import reports
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySystem]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "code"))
        with MemorySystem(tmp_path_factory.mktemp("work"), slots=1) as system:
            yield system


def outputs(system: MemorySystem, wanted: step_pb2.StepRequest) -> dict[str, object]:
    system.release(wanted)
    event = system.final(wanted.key)
    assert event.WhichOneof("event") == "succeeded", event
    return {name: json.loads(text) for name, text in event.succeeded.outputs_json.items()}


def error(system: MemorySystem, wanted: step_pb2.StepRequest) -> step_pb2.StepError:
    system.release(wanted)
    event = system.final(wanted.key)
    assert event.WhichOneof("event") == "failed", event
    return event.failed.error


def test_an_epoch_of_0_is_not_a_missing_one() -> None:
    key, line = step_pb2.StepKey(path="s"), {"kind": "metric", "name": "loss", "value": 1.0}
    # The last one is what helpers sent, and images may hold, before an epoch could be 0.
    for at in ({"step": 0, "step_given": True}, {}, {"step": 0}):
        event = reports.from_protocol(key, {**line, **at})
        assert event is not None
        assert (event.metric.step, event.metric.step_given) == (0, "step_given" in at)


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
@pytest.mark.parametrize(
    ("function", "inputs", "kind", "message"),
    [
        ("exit_with", {"text": "no data today"}, "ExitCode", "sys.exit('no data today')"),
        ("raise_mute", {}, "Mute", "its text cannot be made: RuntimeError"),
        (
            "dated",
            {},
            "InvalidOutputs",
            "output day: a value of type runner_test_steps.Dated is not JSON",
        ),
    ],
)
def test_a_failure_says_why(
    system: MemorySystem,
    function: str,
    inputs: dict[str, str],
    kind: str,
    message: str,
    isolation: str,
) -> None:
    declared = {"day": "string"} if function == "dated" else {}
    found = error(system, python(function, inputs=inputs, outputs=declared, isolation=isolation))
    assert found.type == kind
    assert message in found.message


def test_a_process_that_ends_with_code_0_has_not_succeeded_and_the_error_says_so(
    system: MemorySystem,
) -> None:
    found = error(system, python("leave", inputs={"code": 0}))
    assert (
        "exit code 0 (by os._exit, or a library did) before the step gave a result" in found.message
    )


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_an_error_names_the_base_classes_of_its_exception(
    system: MemorySystem, isolation: str
) -> None:
    found = error(system, python("connect", isolation=isolation))
    assert list(found.type_bases) == ["ConnectionError", "OSError", "Exception"]


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_numbers_that_are_none_are_reported(system: MemorySystem, isolation: str) -> None:
    wanted = python("diverge", isolation=isolation)
    outputs(system, wanted)
    values = [
        event.metric.value
        for event in system.events
        if event.key == wanted.key and event.HasField("metric")
    ]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.0]


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_modules_named_like_pythons_own_do_not_keep_python_from_starting(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for name in sorted(sys.stdlib_module_names):
            bundle.writestr(
                f"{name}.py", "raise RuntimeError('not the module that Python needs')\n"
            )
        bundle.writestr(
            "work.py", "import helper\ndef answer():\n    return {'value': helper.VALUE}\n"
        )
        bundle.writestr("helper.py", "VALUE = 'from the bundle'\n")
    digest = ArtifactStore(system.settings.artifacts).put_file(archive, "file").digest
    wanted = request(
        "python",
        {"entry": "work:answer"},
        outputs={"value": "string"},
        bundle=digest,
        isolation=isolation,
    )
    assert outputs(system, wanted) == {"value": "from the bundle"}


def test_a_process_that_never_begins_fails_its_step_after_a_few_starts(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho again >> {starts}\necho no such library >&2\nexit 3\n")
    program.chmod(0o700)
    with MemorySystem(tmp_path / "work", slots=1, python=str(program)) as system:
        found = error(system, python("nothing"))
        assert found.type == "CannotStart"
        assert "exit code 3 each time before it could begin: no such library" in found.message
        assert "no such library" in found.details
        assert len(starts.read_text().split()) == 3


def test_the_end_of_a_line_that_was_told_early_is_no_line() -> None:
    now: list[float] = [0.0]
    lines: list[str] = []

    def send(message: log_pb2.LogLines) -> bool:
        lines.extend(line.text for line in message.lines)
        return True

    log = StepLog(step_pb2.StepKey(), LogStore(Path("unused"), "log", 10_000), send, lambda: now[0])
    for text in (b"one", b"\ntwo", b"\n", b"three", b" goes on\n\nfour"):
        log.feed(STDOUT, text)
        now[0] += 0.3
        log.tick()
    log.end_streams()
    log.flush()
    assert lines == ["one", "two", "three", " goes on", "", "four"]
