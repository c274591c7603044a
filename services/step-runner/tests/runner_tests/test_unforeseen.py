"""A fault of the runner while it follows a step, such as of its log: the step fails by it, and the runner goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, shell
from processes import zombies_of

from kaon_runner.logs.step_log import StepLog
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemorySystem]:
    feed = StepLog.feed

    def break_at_a_word(self: StepLog, stream: log_pb2.Stream.ValueType, data: bytes) -> None:
        if b"poison" in data:
            raise RuntimeError("nobody has foreseen this")
        feed(self, stream, data)

    monkeypatch.setattr(StepLog, "feed", break_at_a_word)
    with MemorySystem(tmp_path / "work", slots=1) as system:
        yield system


SPEAKING = {
    "a warm worker, read at its end": python("speak", inputs={"text": "poison"}),
    "a warm worker, read live": python("speak_and_sleep", inputs={"text": "poison", "seconds": 60}),
    "a process of its own": python("speak", inputs={"text": "poison"}, isolation="PROCESS"),
    "a command, read live": shell("sh", "-c", "echo poison; sleep 60"),
}


@pytest.mark.parametrize("wanted", SPEAKING.values(), ids=SPEAKING)
def test_a_step_whose_output_breaks_the_runner_fails_and_leaves_nothing(
    system: MemorySystem, wanted: step_pb2.StepRequest
) -> None:
    system.release(wanted)
    failed = system.final(wanted.key).failed
    assert "nobody has foreseen this" in failed.error.message
    assert zombies_of(os.getpid()) == []
    following = python("nothing")
    system.release(following)
    assert system.final(following.key).WhichOneof("event") == "succeeded"
