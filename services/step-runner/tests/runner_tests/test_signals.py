"""Messages to running steps, and exclusive steps that wait for their grant."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, shell
from processes import read_pid, wait_gone

from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

BOTH = pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
HEARD = {"heard": "list", "others": "list"}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        yield system


def obey(path: Path, **rest: object) -> step_pb2.StepRequest:
    return python("obey", inputs={"path": str(path)}, outputs=HEARD, **rest)  # type: ignore[arg-type]


def heard(event: step_pb2.StepEvent) -> tuple[list[object], list[str]]:
    outputs = event.succeeded.outputs_json
    return json.loads(outputs["heard"]), json.loads(outputs["others"])


@BOTH
def test_a_running_step_hears_its_signals_in_order_each_once(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    wanted = obey(tmp_path / "ready", isolation=isolation)
    system.release(wanted)
    system.wait((tmp_path / "ready").exists)
    for seq, payload in ((3, "go"), (3, "go"), (4, {"speed": 2}), (3, "go")):
        system.signal(wanted.key, "order", payload, seq)
    system.signal(wanted.key, "other", None, 5)
    system.signal(wanted.key, "order", "end", 6)
    assert heard(system.final(wanted.key)) == (["go", {"speed": 2}, "end"], ["other"])


@BOTH
def test_signals_that_come_before_the_step_begins_are_kept_for_it(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    first, wanted = shell("sleep", "0.5"), obey(tmp_path / "ready", isolation=isolation)
    system.release(first, wanted)
    system.started(first.key)
    system.signal(wanted.key, "order", "end")
    assert heard(system.final(wanted.key)) == (["end"], [])


@BOTH
def test_a_long_signal_passes(system: MemorySystem, tmp_path: Path, isolation: str) -> None:
    wanted = obey(tmp_path / "ready", isolation=isolation)
    system.release(wanted)
    system.signal(wanted.key, "order", "x" * 100_000)
    system.signal(wanted.key, "order", "end", 2)
    assert heard(system.final(wanted.key)) == (["x" * 100_000, "end"], [])


@BOTH
def test_more_signals_than_the_channel_holds_arrive_when_the_step_reads(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    wanted = obey(tmp_path / "ready", isolation=isolation)
    system.release(wanted)
    for seq in range(1, 1001):
        system.signal(wanted.key, "order", [seq, "y" * 150], seq)
    system.signal(wanted.key, "order", "end", 1001)
    orders, _ = heard(system.final(wanted.key))
    assert [order[0] for order in orders[:-1]] == list(range(1, 1001))  # type: ignore[index]


def test_a_signal_to_an_earlier_step_of_the_worker_does_not_reach_the_next(
    system: MemorySystem, tmp_path: Path
) -> None:
    first = python("sleep", inputs={"seconds": 0.5})
    system.release(first)
    system.started(first.key)
    system.signal(first.key, "order", "for the first")
    system.final(first.key)
    second = obey(tmp_path / "ready")
    system.release(second)
    system.wait((tmp_path / "ready").exists)
    system.signal(second.key, "order", "end")
    assert heard(system.final(second.key)) == (["end"], [])


def test_a_signal_of_a_lower_epoch_or_for_another_generation_is_not_handed_on(
    system: MemorySystem, tmp_path: Path
) -> None:
    wanted = obey(tmp_path / "ready", epoch=5)
    system.release(wanted)
    system.wait((tmp_path / "ready").exists)
    other = step_pb2.StepKey(
        run_id=wanted.key.run_id, path=wanted.key.path, attempt=1, generation=9
    )
    system.signal(wanted.key, "order", "of a former owner", 1, epoch=4)
    system.signal(other, "order", "for somebody else", 2, epoch=5)
    system.signal(wanted.key, "order", "end", 3, epoch=5)
    assert heard(system.final(wanted.key)) == (["end"], [])


@BOTH
def test_waiting_for_a_signal_ends_with_its_time(system: MemorySystem, isolation: str) -> None:
    wanted = python("await_in_vain", outputs={"came": "bool"}, isolation=isolation)
    system.release(wanted)
    assert json.loads(system.final(wanted.key).succeeded.outputs_json["came"]) is False


@BOTH
def test_a_step_that_waits_for_a_signal_can_be_stopped(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    path = tmp_path / "state"
    wanted = python("await_or_stop", inputs={"path": str(path)}, isolation=isolation)
    system.release(wanted)
    system.wait(lambda: path.exists() and path.read_text() == "waiting")
    began = time.monotonic()
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert time.monotonic() - began < 2
    assert path.read_text() == "None"


# --- exclusive steps --------------------------------------------------------------------------------------------------


@BOTH
def test_an_exclusive_step_says_started_and_begins_only_when_it_is_granted(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    wanted = obey(tmp_path / "ready", exclusive=True, isolation=isolation, epoch=5)
    system.release(wanted)
    system.started(wanted.key)
    system.grant(wanted.key, epoch=4)
    other = step_pb2.StepKey(
        run_id=wanted.key.run_id, path=wanted.key.path, attempt=1, generation=2
    )
    system.grant(other, epoch=5)
    time.sleep(0.5)
    assert not (tmp_path / "ready").exists()
    for _ in range(2):
        system.grant(wanted.key, epoch=5)
    system.signal(wanted.key, "order", "end", epoch=5)
    assert heard(system.final(wanted.key)) == (["end"], [])
    assert system.of(wanted.key) == ["started", "succeeded"]


def test_an_exclusive_step_that_waits_for_its_grant_can_be_stopped(system: MemorySystem) -> None:
    wanted, after = python("nothing", exclusive=True), python("nothing")
    system.release(wanted)
    system.started(wanted.key)
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    system.release(after)
    assert system.final(after.key).WhichOneof("event") == "succeeded"


@BOTH
def test_an_exclusive_step_without_renewals_is_ended_before_the_next_may_begin(
    tmp_path: Path, isolation: str
) -> None:
    # Long enough for a busy machine to start the step's process in.
    exclusive_seconds = 5.0
    with MemorySystem(
        tmp_path / "work", exclusive_seconds=exclusive_seconds, renew_seconds=90.0
    ) as system:
        path = tmp_path / "pid"
        wanted = python(
            "sleep_and_tell",
            inputs={"seconds": 60, "path": str(path)},
            exclusive=True,
            isolation=isolation,
        )
        system.release(wanted)
        system.started(wanted.key)
        heard_last = time.monotonic()
        system.grant(wanted.key)
        pid = read_pid(path)
        wait_gone(pid, 4 * exclusive_seconds)
        assert time.monotonic() - heard_last < 5 * exclusive_seconds
        assert system.final(wanted.key).failed.error.type == "LeaseExpired"


def test_a_grant_that_comes_too_late_lets_nothing_begin(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", exclusive_seconds=0.5, renew_seconds=30.0) as system:
        wanted = obey(tmp_path / "ready", exclusive=True)
        system.release(wanted)
        system.started(wanted.key)
        time.sleep(0.7)
        system.grant(wanted.key)
        time.sleep(0.3)
        assert not (tmp_path / "ready").exists()


def test_renewals_keep_an_exclusive_step_alive(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", exclusive_seconds=0.8, renew_seconds=0.2) as system:
        wanted = python("sleep", inputs={"seconds": 2}, exclusive=True)
        system.release(wanted)
        system.started(wanted.key)
        system.grant(wanted.key)
        assert system.final(wanted.key).WhichOneof("event") == "succeeded"
