"""Revokes, withdrawals, duplicates, drains: how leases end, and that no process is left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, shell
from processes import alive, read_pid, wait_gone, zombies_of

from kaon_wire.outstanding import MOST_FOR_A_SLOT
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

CANCELLED = runner_pb2.REVOKE_REASON_CANCELLED
STALE = runner_pb2.REVOKE_REASON_STALE_LEASE


def forged(key: step_pb2.StepKey, **changes: int) -> step_pb2.StepKey:
    """A lease with another token."""
    other = step_pb2.StepKey(lease_token=b"another")
    for field, value in key.ListFields():
        if field.name != "lease_token":
            setattr(other, field.name, value)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        yield system


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_cancel_leaves_no_process_even_of_a_daemon_that_ignores_sigterm(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    wanted = python("escape", inputs={"path": str(tmp_path / "pid")}, isolation=isolation)
    system.release(wanted)
    daemon = read_pid(tmp_path / "pid")
    assert alive(daemon)
    began = time.monotonic()
    system.revoke(wanted.key, CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert time.monotonic() - began < 5
    assert not alive(daemon)
    assert zombies_of(os.getpid()) == []


def test_a_step_that_watches_for_the_cancel_may_end_by_itself(
    system: MemorySystem, tmp_path: Path
) -> None:
    wanted = python("watch", inputs={"path": str(tmp_path / "said")})
    system.release(wanted)
    system.wait((tmp_path / "said").exists)
    system.revoke(wanted.key, CANCELLED)
    began = time.monotonic()
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert time.monotonic() - began < 1.5
    assert (tmp_path / "said").read_text() == "ended by itself"


def test_a_cancel_of_a_plain_function_does_not_use_up_the_grace(
    system: MemorySystem, tmp_path: Path
) -> None:
    wanted = python("sleep_and_tell", inputs={"seconds": 60, "path": str(tmp_path / "pid")})
    system.release(wanted)
    pid = read_pid(tmp_path / "pid")
    began = time.monotonic()
    system.revoke(wanted.key, CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert time.monotonic() - began < 1.5
    assert not alive(pid)


def test_a_stale_lease_is_stopped_without_a_report(system: MemorySystem, tmp_path: Path) -> None:
    wanted = python("sleep_and_tell", inputs={"seconds": 60, "path": str(tmp_path / "pid")})
    system.release(wanted)
    pid = read_pid(tmp_path / "pid")
    system.revoke(wanted.key, STALE)
    wait_gone(pid, 5)
    after = python("nothing")
    system.release(after)
    system.final(after.key)
    assert system.of(wanted.key) == ["started"]


def test_a_revoke_that_nobody_has_checked_stops_the_lease_whose_token_it_shows(
    system: MemorySystem, tmp_path: Path
) -> None:
    wanted = python("sleep_and_tell", inputs={"seconds": 60, "path": str(tmp_path / "pid")})
    wanted.key.lease_token = b"its own"
    system.release(wanted)
    pid = read_pid(tmp_path / "pid")
    system.revoke(wanted.key, STALE, unproven=True)
    wait_gone(pid, 5)


def test_a_revoke_that_nobody_has_checked_and_that_shows_another_token_is_ignored(
    system: MemorySystem,
) -> None:
    running, queued = shell("sleep", "1"), python("nothing")
    for wanted in (running, queued):
        wanted.key.lease_token = b"its own"
    system.release(running, queued)
    system.started(running.key)
    for wanted in (running, queued):
        system.revoke(forged(wanted.key), STALE, unproven=True)
    assert system.final(running.key).WhichOneof("event") == "succeeded"
    assert system.final(queued.key).WhichOneof("event") == "succeeded"


def test_a_revoke_that_nobody_has_checked_keeps_no_later_release_away(system: MemorySystem) -> None:
    wanted = python("nothing", generation=2)
    system.revoke(forged(wanted.key, generation=9), STALE, unproven=True)
    system.release(wanted)
    assert system.final(wanted.key).WhichOneof("event") == "succeeded"


def test_a_revoke_of_a_lower_epoch_is_ignored(system: MemorySystem) -> None:
    wanted = shell("sleep", "1", epoch=5)
    system.release(wanted)
    system.started(wanted.key)
    system.revoke(wanted.key, CANCELLED, epoch=4)
    assert system.final(wanted.key).WhichOneof("event") == "succeeded"


def test_a_release_of_a_lower_epoch_is_handed_back(system: MemorySystem) -> None:
    first, late = python("nothing", epoch=5), python("nothing", epoch=4)
    system.release(first, late)
    assert system.final(late.key).handed_back.reason.startswith("issued by an owner")


def test_a_revoke_of_a_step_that_never_came_is_answered_and_its_late_release_handed_back(
    system: MemorySystem,
) -> None:
    wanted = python("nothing")
    system.revoke(wanted.key, CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    after = python("nothing")
    system.release(wanted, after)
    system.final(after.key)
    system.wait(lambda: system.of(wanted.key) == ["stopped", "handed_back"])


def test_a_queued_step_that_is_cancelled_never_starts(system: MemorySystem) -> None:
    running, queued = shell("sleep", "30"), shell("sleep", "31")
    system.release(running, queued)
    system.started(running.key)
    system.revoke(queued.key, CANCELLED)
    assert system.final(queued.key).WhichOneof("event") == "stopped"
    assert system.of(queued.key) == ["stopped"]


def test_a_queued_step_that_is_withdrawn_is_handed_back_and_a_running_one_is_not(
    system: MemorySystem,
) -> None:
    running, queued = shell("sleep", "1"), shell("sleep", "31")
    system.release(running, queued)
    system.started(running.key)
    for one in (running, queued):
        system.command(withdraw=runner_pb2.WithdrawStep(key=one.key, pool_epoch=1))
    assert system.final(queued.key).handed_back.reason == "withdrawn"
    assert system.final(running.key).WhichOneof("event") == "succeeded"


def test_a_step_prefetched_behind_a_long_one_can_be_withdrawn(system: MemorySystem) -> None:
    quick = [python("nothing") for _ in range(30)]
    system.release(*quick)
    for one in quick:
        system.final(one.key)
    long, behind = python("sleep", inputs={"seconds": 30}), python("nothing")
    system.release(long, behind)
    system.started(long.key)
    system.command(withdraw=runner_pb2.WithdrawStep(key=behind.key, pool_epoch=1))
    assert system.final(behind.key).handed_back.reason == "withdrawn"


def test_a_step_behind_a_cancelled_one_runs_all_the_same(system: MemorySystem) -> None:
    quick = [python("nothing") for _ in range(30)]
    system.release(*quick)
    for one in quick:
        system.final(one.key)
    long, behind = python("sleep", inputs={"seconds": 30}), python("nothing")
    system.release(long, behind)
    system.started(long.key)
    system.revoke(long.key, CANCELLED)
    assert system.final(long.key).WhichOneof("event") == "stopped"
    assert system.final(behind.key).WhichOneof("event") == "succeeded"


def test_a_duplicate_release_starts_nothing(system: MemorySystem) -> None:
    wanted, after = python("nothing"), python("nothing")
    system.release(wanted)
    system.release(wanted)
    system.release(wanted, after)
    system.final(after.key)
    assert system.of(wanted.key) == ["started", "succeeded"]


def test_a_higher_generation_supersedes_the_lower_one_which_reports_nothing_more(
    system: MemorySystem, tmp_path: Path
) -> None:
    old = python(
        "sleep_and_tell",
        inputs={"seconds": 60, "path": str(tmp_path / "pid")},
        path="same",
        generation=1,
    )
    new = python("nothing", path="same", generation=2)
    system.release(old)
    pid = read_pid(tmp_path / "pid")
    system.release(new)
    assert system.final(new.key).WhichOneof("event") == "succeeded"
    assert not alive(pid)
    system.release(old)
    after = python("nothing")
    system.release(after)
    system.final(after.key)
    assert system.of(old.key) == ["started"]


def test_a_release_for_another_incarnation_is_ignored(system: MemorySystem) -> None:
    foreign, own = python("nothing"), python("nothing")
    system.release(foreign, incarnation="somebody-else")
    system.release(own)
    system.final(own.key)
    assert system.of(foreign.key) == []


def test_what_cannot_fit_is_handed_back_with_the_reason(system: MemorySystem) -> None:
    wanted = python("nothing", resources={"slots": 2})
    system.release(wanted)
    assert "2 slots of 1" in system.final(wanted.key).handed_back.reason


def test_an_unknown_step_type_is_handed_back(system: MemorySystem) -> None:
    wanted = python("nothing")
    wanted.spec.type = "cobol"
    system.release(wanted)
    assert "'cobol'" in system.final(wanted.key).handed_back.reason


def test_a_full_queue_hands_back(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1, queue=1) as system:
        steps = [shell("sleep", "20") for _ in range(3)]
        system.release(steps[0])
        system.started(steps[0].key)
        system.release(*steps[1:])
        assert "full" in system.final(steps[2].key).handed_back.reason


def test_a_queue_has_room_for_twice_what_a_matcher_releases(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        steps = [shell("sleep", "20") for _ in range(2 * MOST_FOR_A_SLOT + 2)]
        system.release(steps[0])
        system.started(steps[0].key)
        system.release(*steps[1:])
        assert "full" in system.final(steps[-1].key).handed_back.reason
        assert not any(system.of(each.key) for each in steps[1:-1])


def test_a_drain_finishes_what_runs_hands_back_what_waits_and_says_goodbye(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        running, queued = shell("sleep", "0.5"), shell("sleep", "1")
        system.release(running, queued)
        system.started(running.key)
        system.runner.stop(10)
        assert system.of(running.key) == ["started", "succeeded"]
        assert system.of(queued.key) == ["handed_back"]
        assert system.heartbeats[-1].leaving


def test_a_drain_whose_time_is_up_stops_and_hands_back(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        running = python("sleep_and_tell", inputs={"seconds": 60, "path": str(tmp_path / "pid")})
        system.release(running)
        pid = read_pid(tmp_path / "pid")
        system.runner.stop(0.2)
        assert system.of(running.key) == ["started", "handed_back"]
        assert not alive(pid)
        assert zombies_of(os.getpid()) == []


def test_a_drained_runner_hands_back_what_comes_later(system: MemorySystem) -> None:
    system.command(drain=runner_pb2.DrainRunner(grace_ms=1000))
    system.wait(lambda: system.heartbeats[-1].draining)
    late = python("nothing")
    system.release(late)
    assert system.final(late.key).handed_back.reason == "the runner is draining"


def test_a_runner_that_is_told_to_drain_hands_back_what_has_not_ended_in_time(
    system: MemorySystem,
) -> None:
    long = shell("sleep", "60")
    system.release(long)
    system.started(long.key)
    system.command(drain=runner_pb2.DrainRunner(grace_ms=300))
    assert system.final(long.key, 10).handed_back.reason == "the runner is leaving"


def test_the_hello_tells_capacity_and_labels(system: MemorySystem) -> None:
    hello = system.heartbeats[0]
    assert (hello.runner_id, hello.incarnation, hello.sequence) == (
        "runner-a",
        system.runner.incarnation,
        1,
    )
    assert hello.capacity.slots == 1
    assert hello.labels["step-type.python"] == "yes"


def test_a_report_command_is_answered_by_a_heartbeat(system: MemorySystem) -> None:
    before = len(system.heartbeats)
    system.command(report=runner_pb2.ReportRunner(pool_epoch=2))
    system.wait(lambda: len(system.heartbeats) > before, 1.0)


def test_held_and_queued_leases_are_renewed_together(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1, renew_seconds=0.1) as system:
        running, queued = shell("sleep", "20"), shell("sleep", "21")
        system.release(running, queued)

        def renewed() -> bool:
            renewals = [record.renewal for record in system.records if record.HasField("renewal")]
            return any(
                list(r.held) == [running.key] and list(r.queued) == [queued.key] for r in renewals
            )

        system.wait(renewed, 5)


def test_a_lease_that_cannot_be_renewed_is_ended_by_its_supervisor(tmp_path: Path) -> None:
    with MemorySystem(
        tmp_path / "work", slots=1, supervisor_seconds=0.5, renew_seconds=30.0
    ) as system:
        wanted = shell("sleep", "60")
        system.release(wanted)
        event = system.final(wanted.key, 5)
        assert event.failed.error.type == "LeaseExpired"


def test_a_runner_has_no_step_directories_left_but_what_idle_workers_keep(
    system: MemorySystem,
) -> None:
    for wanted in (
        shell("true"),
        python("fail"),
        python("chatty", outputs={"last": "any"}, isolation="PROCESS"),
    ):
        system.release(wanted)
        system.final(wanted.key)
    after = python("nothing")
    system.release(after)
    system.final(after.key)
    (steps,) = (system.settings.work / "steps").iterdir()
    # An idle worker keeps an empty one for its next step.
    left = [path.relative_to(steps).parts for path in steps.rglob("*")]
    assert {parts[1:] for parts in left} <= {(), ("work",)}
    assert len({parts[0] for parts in left}) <= system.settings.slots
