"""Signals to all runs of a tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from kaon_coordinator.store.base import Hearer, LeftOut, RunRecord, SentSignal, Store
from kaonapi.run.v1 import command_pb2, run_pb2

from .build import VERSION, batch, block_row, submitted

ALL = 100


def signal(**changes: object) -> SentSignal:
    """A signal that was not sent."""
    made = SentSignal(
        tenant="default",
        key="k",
        name="go",
        payload_digest="digest",
        requester="ada",
        time_us=2_000,
        left_out=[LeftOut(workflow="other", version=VERSION, runs=2, reason="no role")],
        runs=0,
        waiting=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def commands(*runs: RunRecord) -> list[command_pb2.RunCommand]:
    told = command_pb2.SignalRun(name="go", payload_json="1", to_all=True)
    return [command_pb2.RunCommand(run_id=run.run_id, signal=told) for run in runs]


def gate(path: str, status: int) -> object:
    return block_row(path, kind="gate", status=status)


def at(store: Store, run: RunRecord, *rows: object, **changes: object) -> None:
    epoch = store.claim_partition(run.partition, "me")
    store.commit(replace(batch(epoch, run, **changes), blocks={run.run_id: list(rows)}))


def heard(store: Store, *gates: str, limit: int = ALL) -> Sequence[Hearer]:
    around = {each.split("/")[0] for each in gates}
    names = {each.rsplit("/", 1)[-1] for each in gates}
    return store.hearers("default", "nightly", VERSION, names, around, limit)


def test_runs_hear_a_signal_while_a_gate_of_its_name_waits_or_may_begin(store: Store) -> None:
    fresh, waiting, passed, over = (submitted(store, now_us=number) for number in range(4))
    submitted(store, tenant="other")
    submitted(store, workflow="weekly")
    at(store, waiting, gate("u/ask", run_pb2.STATUS_WAITING))
    at(store, passed, gate("u", run_pb2.STATUS_SUCCEEDED), gate("ask", run_pb2.STATUS_WAITING))
    at(store, over, status=run_pb2.STATUS_SUCCEEDED, end_us=9_000)
    found = heard(store, "u/ask")
    assert [(each.run_id, each.waits) for each in found] == [
        (fresh.run_id, False),
        (waiting.run_id, True),
    ]
    assert found[0].params == {"users": "10"}
    assert [each.run_id for each in heard(store, "u/ask", "ask")] == [
        each.run_id for each in (fresh, waiting, passed)
    ]
    assert [each.run_id for each in heard(store, "u/ask", limit=1)] == [fresh.run_id]
    versions = [("nightly", VERSION), ("weekly", VERSION)]
    assert store.open_versions("default") == versions


def test_a_signal_is_stored_with_its_commands_once_for_each_key(store: Store) -> None:
    first, second, over = submitted(store), submitted(store, partition=5), submitted(store)
    at(store, over, status=run_pb2.STATUS_SUCCEEDED, end_us=9_000)
    before = len(store.unapplied(3))
    told = commands(first, second, over)
    kept, partitions = store.send_signal(signal(), told, {second.run_id, over.run_id})
    assert (kept.runs, kept.waiting, partitions) == (2, 1, [3, 5])
    assert kept.left_out == signal().left_out
    assert store.unapplied(5)[-1].command == told[1]
    again = store.send_signal(signal(name="stop"), commands(first), ())
    assert again == (kept, None)
    assert len(store.unapplied(3)) == before + 1
    assert store.find_signal("default", "k") == kept
    assert store.find_signal("other", "k") is None
    mine = signal(tenant="other", left_out=[])
    assert store.send_signal(mine, [], ()) == (mine, [])


def test_however_many_send_at_once_one_key_is_one_signal(
    open_another: Callable[[], Store],
) -> None:
    stores = [open_another() for _ in range(4)]
    run = submitted(stores[0])
    together = Barrier(len(stores))

    def send(store: Store) -> int:
        together.wait()
        sent = [store.send_signal(signal(key=str(n)), commands(run), ())[1] for n in range(5)]
        return sum(each is not None for each in sent)

    with ThreadPoolExecutor(len(stores)) as threads:
        assert sum(threads.map(send, stores)) == 5
    assert len(stores[0].unapplied(3)) == 1 + 5


def test_old_signals_are_forgotten(store: Store) -> None:
    for number in range(3):
        store.send_signal(signal(key=str(number), time_us=number), [], ())
    assert store.remove_signals(2, 1) == ["0"]
    assert store.remove_signals(2, ALL) == ["1"]
    assert store.remove_signals(2, ALL) == []
    assert store.find_signal("default", "2") is not None
