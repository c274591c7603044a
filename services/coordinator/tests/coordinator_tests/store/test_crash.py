"""A process is killed between two statements: all of its transaction is there, or nothing of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_coordinator.store.base import Store

from .build import batch, new_run, submitted
from .crash_child import crash

# What each sends between the beginning and the commit.
WITHIN_COMMIT = range(1, 8)
WITHIN_SUBMIT = range(1, 4)


@pytest.mark.parametrize("statements", WITHIN_COMMIT)
def test_a_batch_cut_short_leaves_nothing(
    url: str, open_another: Callable[[], Store], statements: int
) -> None:
    before = open_another()
    run = submitted(before, run_id="run")
    inbox = before.unapplied(3)
    before.close()
    crash(url, "commit", statements)
    store = open_another()
    assert store.get_run("default", "run") == run
    assert store.history("run") == []
    assert store.list_steps("run") == []
    assert store.list_blocks("run") == []
    assert store.unapplied(3) == inbox
    # The locks of the dead are gone, and the next owner goes on.
    store.commit(batch(store.claim_partition(3, "next"), run))
    assert len(store.history("run")) == 2


def test_a_batch_whose_commit_returned_is_there(
    url: str, open_another: Callable[[], Store]
) -> None:
    submitted(open_another(), run_id="run")
    crash(url, "commit", 0)
    store = open_another()
    found = store.load_run("run")
    assert (found.row.seq, found.published_seq, len(found.steps), len(found.blocks)) == (2, 1, 1, 1)
    assert len(store.history("run")) == 2
    assert store.unapplied(3) == []


@pytest.mark.parametrize("statements", WITHIN_SUBMIT)
def test_a_submission_cut_short_leaves_nothing(
    url: str, open_another: Callable[[], Store], statements: int
) -> None:
    before = open_another()
    before.close()
    crash(url, "submit", statements)
    store = open_another()
    assert store.list_runs("default").runs == []
    assert store.unapplied(3) == []
    _, created = store.submit_run(new_run(idempotency_key="key"))
    assert created


def test_an_acknowledged_submission_is_there(url: str, open_another: Callable[[], Store]) -> None:
    before = open_another()
    before.close()
    crash(url, "submit", 0)
    store = open_another()
    again, created = store.submit_run(new_run(idempotency_key="key"))
    assert (again.run_id, created) == ("run", False)
    assert [row.run_id for row in store.unapplied(3)] == ["run"]
