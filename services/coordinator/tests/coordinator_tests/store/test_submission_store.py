"""Runs and commands on their way in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from kaon_coordinator.store.base import RunRecord, Store
from kaon_wire.errors import Conflict, NotFound
from kaonapi.run.v1 import command_pb2, run_pb2

from .build import batch, new_run, submitted


def _cancel(run_id: str) -> command_pb2.RunCommand:
    wish = command_pb2.RequestRunCancel(reason="enough", requester="ada")
    return command_pb2.RunCommand(run_id=run_id, cancel=wish)


def test_a_submitted_run_and_its_start_command_are_there_together(store: Store) -> None:
    run, created = store.submit_run(new_run(idempotency_key="k"))
    assert created
    assert store.get_run("default", run.run_id) == run
    assert run.row.status == run_pb2.STATUS_PENDING
    (row,) = store.unapplied(3)
    assert (row.run_id, row.create_us) == (run.run_id, 1_000)
    assert row.command.WhichOneof("command") == "start"
    assert run.start == row, "who submits can hand the start over"
    assert store.unapplied(4) == []


def test_the_same_key_and_payload_make_one_run(store: Store) -> None:
    first, _ = store.submit_run(new_run(idempotency_key="k", params={"a": "1", "b": "2"}))
    second, created = store.submit_run(
        new_run(idempotency_key="k", params={"b": "2", "a": "1"}, now_us=9)
    )
    assert not created
    assert second == first
    assert len(store.unapplied(3)) == 1


@pytest.mark.parametrize("change", [{"params": {"users": "11"}}, {"version": "sha256:" + "b" * 64}])
def test_the_same_key_with_another_payload_is_refused(
    store: Store, change: dict[str, object]
) -> None:
    first = submitted(store, idempotency_key="k")
    with pytest.raises(Conflict, match=first.run_id):
        store.submit_run(new_run(idempotency_key="k", **change))
    assert len(store.unapplied(3)) == 1
    assert len(store.list_runs("default").runs) == 1


def test_a_key_counts_for_one_tenant_and_workflow_only(store: Store) -> None:
    runs = [
        submitted(store, idempotency_key="k"),
        submitted(store, idempotency_key="k", tenant="other"),
        submitted(store, idempotency_key="k", workflow="weekly"),
    ]
    assert len({run.run_id for run in runs}) == 3


def test_without_a_key_every_submission_makes_a_run(store: Store) -> None:
    assert submitted(store).run_id != submitted(store).run_id
    assert len(store.unapplied(3)) == 2


def test_runs_submitted_together_are_answered_each_in_its_place(store: Store) -> None:
    old = submitted(store, idempotency_key="old")
    new = [
        new_run(),
        new_run(idempotency_key="old"),
        new_run(idempotency_key="old", params={}),
        new_run(idempotency_key="z"),
        new_run(idempotency_key="z"),
    ]
    plain, again, refused, first, second = store.submit_runs(new)
    assert isinstance(refused, Conflict)
    assert not isinstance(plain, Conflict)
    assert not isinstance(first, Conflict)
    assert (plain[0].run_id, plain[1]) == (new[0].run_id, True)
    assert again == (old, False)
    assert (first[0].run_id, first[1]) == (new[3].run_id, True)
    assert second == (first[0], False)
    assert [row.run_id for row in store.unapplied(3)] == [old.run_id, new[0].run_id, new[3].run_id]


def test_one_key_makes_one_run_however_many_submit_at_once(
    open_another: Callable[[], Store],
) -> None:
    stores = [open_another() for _ in range(4)]
    keys = [f"key-{number}" for number in range(20)]
    together = Barrier(len(stores))

    def submit_all(store: Store, order: list[str]) -> list[tuple[RunRecord, bool] | Conflict]:
        together.wait()
        # In both orders: transactions that wait for each other's keys must not lock one another out.
        return store.submit_runs([new_run(idempotency_key=key) for key in order])

    with ThreadPoolExecutor(len(stores)) as threads:
        orders = [keys, keys[::-1], keys, keys[::-1]]
        answers = [answer for found in threads.map(submit_all, stores, orders) for answer in found]
    assert sum(answer[1] for answer in answers if not isinstance(answer, Conflict)) == len(keys)
    run_ids = {answer[0].run_id for answer in answers if not isinstance(answer, Conflict)}
    assert len(run_ids) == len(keys)
    assert {row.run_id for row in stores[0].unapplied(3)} == run_ids
    assert len(stores[0].unapplied(3)) == len(keys)


def test_a_command_waits_for_the_owner_of_the_run(store: Store) -> None:
    run = submitted(store)
    assert store.add_command("default", run.run_id, _cancel(run.run_id), 2_000) == run
    start, cancel = store.unapplied(3)
    assert start.inbox_id < cancel.inbox_id
    assert cancel.command == _cancel(run.run_id)
    assert [row.inbox_id for row in store.unapplied(3, limit=1)] == [start.inbox_id]


def test_commands_that_come_at_once_are_all_kept(open_another: Callable[[], Store]) -> None:
    stores = [open_another() for _ in range(4)]
    run = submitted(stores[0])
    together = Barrier(len(stores))

    def cancel(store: Store) -> None:
        together.wait()
        for _ in range(25):
            store.add_command("default", run.run_id, _cancel(run.run_id), 2_000)

    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(cancel, stores))
    assert len(stores[0].unapplied(3)) == 1 + 4 * 25


def test_a_run_that_has_ended_gets_no_command(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, run, status=run_pb2.STATUS_SUCCEEDED, end_us=9_000))
    told = store.add_command("default", run.run_id, _cancel(run.run_id), 9_500)
    assert told.row.status == run_pb2.STATUS_SUCCEEDED
    assert len(store.unapplied(3)) == 1


def test_nobody_commands_another_tenants_run(store: Store) -> None:
    run = submitted(store)
    with pytest.raises(NotFound, match=run.run_id):
        store.add_command("other", run.run_id, _cancel(run.run_id), 2_000)
    assert len(store.unapplied(3)) == 1
