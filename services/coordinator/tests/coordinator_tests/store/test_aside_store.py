"""What is set aside is not touched until it is taken back; and what a database refuses is refused for its own submitter alone."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from kaon_coordinator.api.submitter import Submitter
from kaon_coordinator.store.base import PartitionBatch, RunRecord, SetAside, Store
from kaon_coordinator.store.thread import StoreThread
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import command_pb2

from .build import batch, new_run, submitted

ASIDE = SetAside(
    kind="run",
    tenant="",
    name="run",
    partition=3,
    reference="0123456789ab",
    reason="IndexError, while it was taken over",
    time_us=7,
)


def test_a_run_that_is_set_aside_is_loaded_by_nobody_and_its_commands_wait_with_it(
    store: Store,
) -> None:
    epoch = store.claim_partition(3, "me")
    run = submitted(store, partition=3, run_id="run")
    other = submitted(store, partition=3, run_id="other")
    assert run.start is not None
    poisoned = PartitionBatch(
        partition=3, epoch=epoch, applied_inbox=[run.start.inbox_id], set_aside=[ASIDE]
    )
    store.commit(poisoned)
    store.add_command("default", "run", command_pb2.RunCommand(run_id="run", cancel={}), 8)
    assert [each.run_id for each in store.load_runs(3)] == ["other"]
    assert [row.run_id for row in store.unapplied(3)] == ["other"]
    assert store.list_set_aside(0) == store.list_set_aside(1) == [ASIDE]
    assert store.take_back("run", "", "run")
    assert not store.take_back("run", "", "run")
    assert {each.run_id for each in store.load_runs(3)} == {"run", other.run_id}
    assert [row.run_id for row in store.unapplied(3)] == ["other", "run"]


def test_an_owner_that_was_succeeded_sets_nothing_aside(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    store.claim_partition(3, "other")
    assert store.commit_all([PartitionBatch(partition=3, epoch=epoch, set_aside=[ASIDE])]) == {3}
    assert store.list_set_aside(0) == []


def test_the_newest_reason_counts_and_the_newest_comes_first(store: Store) -> None:
    store.put_aside(ASIDE)
    store.put_aside(replace(ASIDE, name="another", time_us=9))
    store.put_aside(replace(ASIDE, reason="KeyError", time_us=8))
    assert [(each.name, each.reason) for each in store.list_set_aside(5)] == [
        ("another", ASIDE.reason),
        ("run", "KeyError"),
    ]


async def test_a_submission_that_a_database_refuses_fails_alone(store: Store, url: str) -> None:
    """All of them share a transaction. Neither database takes this key: it is no text for one, and ends with a zero byte for the
    other."""
    thread = StoreThread(store)
    submitter = Submitter(thread)
    keys = ["a", "b", "half \ud800 and \0", "c", "d"]
    runs = [new_run(run_id=f"run-{number}", idempotency_key=key) for number, key in enumerate(keys)]
    # The first occupies the writer, so that the others gather.
    answers = await asyncio.gather(*(submitter.submit(run) for run in runs), return_exceptions=True)
    refused = [number for number, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert refused == [2]
    assert not isinstance(answers[2], KaonError)
    assert {answer[0].run_id for answer in answers if isinstance(answer, tuple)} == {
        "run-0",
        "run-1",
        "run-3",
        "run-4",
    }
    assert len(store.unapplied(runs[0].partition)) == 4


# What cannot be compressed: an index holds at most 2,704 bytes of it.
_LONG = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(250))


@pytest.mark.parametrize("path", ["a \0 in it", _LONG], ids=["zero byte", "too long"])
def test_what_lies_in_the_data_is_no_outage(store: Store, url: str, path: str) -> None:
    """A refusal that comes again with every attempt must not end the process as an outage does."""
    epoch = store.claim_partition(3, "me")
    run = submitted(store, partition=3)
    assert isinstance(run, RunRecord)
    decided = batch(epoch, run)
    steps = {
        run_id: [replace(row, path=path) for row in rows] for run_id, rows in decided.steps.items()
    }
    if not url.startswith("postgresql"):
        store.commit(replace(decided, steps=steps))
        return
    with pytest.raises(Exception) as refused:  # noqa: PT011 -- of what kind it is, is what is asked
        store.commit(replace(decided, steps=steps))
    assert not isinstance(refused.value, KaonError)
