"""Steps that serve others: they say so with their outputs, and go on until they are asked to stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from harness import MemorySystem, python, shell

from kaon_runner.artifacts.base import Artifacts
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.outputs import collecting
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

BOTH = pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
ADDRESS = {"address": "string"}
SCRIPT = """
set -e
mkdir -p "$KAON_STEP_DIR/outputs"
echo '"here:1"' > "$KAON_STEP_DIR/outputs/address.json"
echo '{"kind": "serving"}' > "$KAON_STEP_DIR/events"
exec sleep 1000
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", slots=1, renew_seconds=0.2) as system:
        yield system


def server(function: str, address: str = "here:1", **rest: object) -> step_pb2.StepRequest:
    outputs = rest.pop("outputs", ADDRESS)
    given = {"address": address} | dict(rest.pop("inputs", {}))  # type: ignore[call-overload]
    return python(function, inputs=given, outputs=outputs, serves=True, **rest)  # type: ignore[arg-type]


def served(system: MemorySystem, key: step_pb2.StepKey, times: int = 1) -> dict[str, object]:
    def found() -> list[step_pb2.StepEvent]:
        events = [each for each in tuple(system.events) if each.key == key]
        told = [each for each in events if each.WhichOneof("event") == "serves"]
        return told if len(told) >= times else []

    told = system.wait(found)
    assert len({each.SerializeToString(deterministic=True) for each in told}) == 1
    return {name: json.loads(text) for name, text in told[-1].serves.outputs_json.items()}


@BOTH
def test_it_says_so_again_with_each_renewal_until_it_is_stopped(
    system: MemorySystem, isolation: str
) -> None:
    wanted = server("serve_until_asked", isolation=isolation)
    system.release(wanted)
    assert served(system, wanted.key, times=3) == {"address": "here:1"}
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") in {"stopped", "succeeded"}
    assert "failed" not in system.of(wanted.key)


@BOTH
def test_outputs_of_any_size_and_artifacts_are_stored_then(
    system: MemorySystem, isolation: str
) -> None:
    declared = {**ADDRESS, "file": "text"}
    wanted = server(
        "serve_until_asked",
        "x" * 100_000,
        inputs={"note": "hello"},
        outputs=declared,
        isolation=isolation,
    )
    system.release(wanted)
    outputs = served(system, wanted.key)
    assert outputs["address"] == "x" * 100_000
    assert isinstance(outputs["file"], dict)
    assert outputs["file"]["artifact"]["size"] == len("hello")


def test_a_program_says_so_in_a_line_of_the_step_protocol(system: MemorySystem) -> None:
    wanted = shell("sh", "-c", SCRIPT, outputs=ADDRESS, serves=True)
    system.release(wanted)
    assert served(system, wanted.key) == {"address": "here:1"}
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"


@BOTH
def test_one_that_ends_by_itself_reports_no_outputs(system: MemorySystem, isolation: str) -> None:
    wanted = server("serve_and_end", isolation=isolation)
    system.release(wanted)
    final = system.final(wanted.key)
    assert served(system, wanted.key) == {"address": "here:1"}
    assert not final.succeeded.outputs_json
    assert system.of(wanted.key)[-1] == "succeeded"


def test_the_directory_may_go_while_outputs_are_collected(tmp_path: Path) -> None:
    """A worker removes an empty one as soon as the step ends, which may be while it still says that it serves."""
    found = collecting.collect(
        server("serve_and_end").spec,
        StepDirectory(place=str(tmp_path / "gone")),
        cast(Artifacts, None),
        {"address": "here:1"},
        frozenset,
    )
    assert found == {"address": '"here:1"'}


@BOTH
def test_outputs_that_were_not_declared_fail_it(system: MemorySystem, isolation: str) -> None:
    wanted = server("serve_the_wrong", isolation=isolation)
    system.release(wanted)
    final = system.final(wanted.key)
    assert final.failed.error.type == "OutputMismatch"
    assert "other" in final.failed.error.message


@BOTH
def test_they_fail_it_also_when_it_ends_by_itself(system: MemorySystem, isolation: str) -> None:
    wanted = server("serve_the_wrong_and_end", isolation=isolation)
    system.release(wanted)
    assert system.final(wanted.key).failed.error.type == "OutputMismatch"


@BOTH
def test_a_step_that_is_not_declared_so_cannot_serve(system: MemorySystem, isolation: str) -> None:
    wanted = python(
        "serve_nothing_declared", inputs={"address": "x"}, outputs=ADDRESS, isolation=isolation
    )
    system.release(wanted)
    error = system.final(wanted.key).failed.error
    assert (error.type, "serves=True" in error.message) == ("RuntimeError", True)
