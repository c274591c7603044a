from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.shell.start_dedup import StartDedup
from kaon_coordinator.store.base import InboxRow
from kaonapi.run.v1 import command_pb2


def row(inbox_id: int, partition: int = 0, **command: object) -> InboxRow:
    run_id = f"run-{inbox_id}"
    wish = command_pb2.RunCommand(run_id=run_id, **(command or {"start": command_pb2.StartRun()}))  # type: ignore[arg-type]
    return InboxRow(
        inbox_id=inbox_id, partition=partition, run_id=run_id, command=wish, create_us=1
    )


def test_a_start_that_comes_on_both_ways_is_applied_once() -> None:
    starts = StartDedup()
    assert starts.fresh([row(2), row(1), row(2)]) == [row(1), row(2)]
    starts.note(row(1))
    starts.note(row(2))
    assert starts.fresh([row(1), row(2), row(3)]) == [row(3)]


def test_a_command_is_not_taken_for_the_start_whose_number_it_has_got() -> None:
    starts = StartDedup()
    starts.note(row(1))
    later = replace(row(1), run_id="another")
    assert starts.fresh([later]) == [later]


def test_a_start_that_had_to_wait_comes_again() -> None:
    starts = StartDedup()
    assert starts.fresh([row(1)]) == [row(1)]
    assert starts.fresh([row(1)]) == [row(1)]


def test_other_commands_are_not_remembered() -> None:
    starts = StartDedup()
    cancel = row(1, cancel=command_pb2.RequestRunCancel(reason="why"))
    starts.note(cancel)
    assert starts.fresh([cancel]) == [cancel]


def test_starts_of_a_lost_partition_are_applied_by_whoever_owns_it_next() -> None:
    starts = StartDedup()
    starts.note(row(1, partition=3))
    starts.note(row(2, partition=4))
    starts.drop(3)
    assert starts.fresh([row(1, partition=3), row(2, partition=4)]) == [row(1, partition=3)]


def test_the_oldest_are_forgotten() -> None:
    starts = StartDedup(remembered=1)
    starts.note(row(1))
    starts.note(row(2))
    assert starts.fresh([row(1), row(2)]) == [row(1)]
