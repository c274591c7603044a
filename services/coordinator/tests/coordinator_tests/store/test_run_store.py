"""What the API reads."""

from __future__ import annotations

from typing import Any

import pytest

from kaon_coordinator.engine.rows.rows import BlockRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import PartitionBatch, RunRecord, RunSelection, Store
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.run.v1 import command_pb2, run_pb2

from .build import batch, block_row, event, run_row, step_row, submitted


def _pages(store: Store, size: int, **filters: object) -> list[list[str]]:
    pages, token = [], ""
    while True:
        which = RunSelection(**filters)  # type: ignore[arg-type]
        page = store.list_runs("default", which, page_size=size, page_token=token)
        pages.append([run.run_id for run in page.runs])
        token = page.next_page_token
        if not token:
            return pages


def test_runs_are_listed_newest_first_in_pages(store: Store) -> None:
    # Two of the same microsecond: their ids decide.
    times = {"a": 10, "b": 20, "c": 20, "d": 30, "e": 40}
    for run_id, now_us in times.items():
        submitted(store, run_id=run_id, now_us=now_us)
    assert _pages(store, 2) == [["e", "d"], ["c", "b"], ["a"]]
    assert _pages(store, 5) == [["e", "d", "c", "b", "a"]]


def test_runs_submitted_between_two_pages_move_nothing(store: Store) -> None:
    for number in range(4):
        submitted(store, run_id=f"old-{number}", now_us=number)
    first = store.list_runs("default", page_size=2)
    submitted(store, run_id="new", now_us=100)
    second = store.list_runs("default", page_size=2, page_token=first.next_page_token)
    assert [run.run_id for run in (*first.runs, *second.runs)] == [
        "old-3",
        "old-2",
        "old-1",
        "old-0",
    ]


def test_runs_are_listed_by_workflow_and_status(store: Store) -> None:
    submitted(store, run_id="a", workflow="weekly")
    run = submitted(store, run_id="b", workflow="nightly")
    store.commit(batch(store.claim_partition(3, "me"), run))
    assert _pages(store, 10, workflow="weekly") == [["a"]]
    assert _pages(store, 10, status=run_pb2.STATUS_RUNNING) == [["b"]]
    assert _pages(store, 10, workflow="weekly", status=run_pb2.STATUS_RUNNING) == [[]]


def test_runs_are_listed_by_labels(store: Store) -> None:
    submitted(store, run_id="a", labels={"team": "search", "why": "test"})
    submitted(store, run_id="b", labels={"team": "ads"})
    submitted(store, run_id="c")
    submitted(store, run_id="d", tenant="theirs", labels={"team": "search"})
    assert store.get_run("default", "a").labels == {"team": "search", "why": "test"}
    assert _pages(store, 10, labels={"team": "search"}) == [["a"]]
    assert _pages(store, 1, labels={"team": ""}) == [["b"], ["a"]]
    assert _pages(store, 10, labels={"team": "search", "why": "x"}) == [[]]


def test_runs_are_listed_by_parameters_time_and_the_beginning_of_their_ids(store: Store) -> None:
    submitted(store, run_id="aa", now_us=10, params={"day": '"2026-12-01"', "rate": "1.0"})
    submitted(store, run_id="ab", now_us=20, params={"day": '"2026-12-02"', "rate": "2.5"})
    submitted(store, run_id="b_", now_us=30)
    assert _pages(store, 10, params={"day": '"2026-12-01"'}) == [["aa"]]
    assert _pages(store, 10, params={"rate": "1"}) == [["aa"]]
    assert _pages(store, 10, params={"rate": "2"}) == [[]]
    assert _pages(store, 10, since_us=20) == [["b_", "ab"]]
    assert _pages(store, 1, prefix="a") == [["ab"], ["aa"]]
    assert _pages(store, 10, prefix="_") == [[]]


def test_a_run_that_does_not_exist_is_refused_with_the_id_that_is_like_it(store: Store) -> None:
    for run_id in ("01m8m4yng1", "01m8m4ynz7", "02aaaaaaaa"):
        submitted(store, run_id=run_id)
    submitted(store, run_id="01m8m4yng4", tenant="theirs")
    with pytest.raises(NotFound, match=r"did you mean 01m8m4yng1\?"):
        store.get_run("default", "01m8m4yng4")
    with pytest.raises(NotFound, match=r"there is no run '03bbbbbbbb'$"):
        store.get_run("default", "03bbbbbbbb")


def test_a_page_token_from_elsewhere_is_refused(store: Store) -> None:
    for token in ("%%%", "bm9wZQ==", "x"):
        with pytest.raises(InvalidValue, match="next_page_token"):
            store.list_runs("default", page_token=token)


def test_tenants_do_not_see_each_others_runs(store: Store) -> None:
    run = submitted(store, tenant="mine")
    assert store.get_run("mine", run.run_id) == run
    assert store.list_runs("theirs").runs == []
    with pytest.raises(NotFound, match=run.run_id):
        store.get_run("theirs", run.run_id)


def test_a_run_is_shown_as_its_owner_left_it(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    row = run_row(
        run.run_id, seq=2, cancel_requested=True, error='{"type":"ValueError"}', steps_succeeded=7
    )
    store.commit(batch(epoch, run))
    store.commit(batch(epoch, run, first=3, last=4))
    store.commit(
        batch(
            epoch, run, first=5, last=5, cancel_requested=True, error=row.error, steps_succeeded=7
        )
    )
    found = store.get_run("default", run.run_id)
    assert found.row == run_row(
        run.run_id, seq=5, cancel_requested=True, error=row.error, steps_succeeded=7
    )
    assert (found.params, found.submitter, found.version) == (
        run.params,
        run.submitter,
        run.version,
    )
    assert store.list_steps(run.run_id) == [step_row()]
    assert store.list_blocks(run.run_id) == [block_row()]


def test_cells_are_counted_for_their_own_blocks(store: Store) -> None:
    run = submitted(store)
    cells = {
        "each[eu]": t.SUCCEEDED,
        "each[us]": t.FAILED,
        "each[asia]": t.SUCCEEDED,
        # Of blocks within cells, and of one whose name begins alike.
        "each[eu]/inner[1]": t.RUNNING,
        "each[eu]/cycle#1": t.RUNNING,
        "Each[eu]": t.RUNNING,
        "each-too[eu]": t.RUNNING,
        "cycle#1": t.SUCCEEDED,
        "cycle#2": t.RUNNING,
        "cycle#2/choose=else": t.RUNNING,
        "group/": t.RUNNING,
        "group/each[eu]": t.RUNNING,
    }
    rows = [
        BlockRow(path=path, position=10 + number, kind="cell", status=status, data="{}")
        for number, (path, status) in enumerate(cells.items())
    ]
    epoch = store.claim_partition(3, "me")
    store.commit(PartitionBatch(partition=3, epoch=epoch, blocks={run.run_id: rows}))
    blocks = ["each", "each[eu]/inner", "cycle", "cycle#2/choose", "group", "without"]
    assert store.cell_counts(run.run_id, blocks) == {
        "each": {t.SUCCEEDED: 2, t.FAILED: 1},
        "each[eu]/inner": {t.RUNNING: 1},
        "cycle": {t.SUCCEEDED: 1, t.RUNNING: 1},
        "cycle#2/choose": {t.RUNNING: 1},
        "group": {t.RUNNING: 1},
        "without": {},
    }
    assert store.cell_counts(run.run_id, ["each"], after=10) == {
        "each": {t.SUCCEEDED: 1, t.FAILED: 1}
    }
    assert store.cell_counts("another", ["each"]) == {"each": {}}


def test_history_is_read_in_order_from_any_place(store: Store) -> None:
    run = submitted(store)
    store.commit(batch(store.claim_partition(3, "me"), run, last=12))
    assert [found.seq for found in store.history(run.run_id)] == list(range(1, 13))
    assert store.history(run.run_id, after_seq=9, limit=2) == [
        event(run.run_id, 10),
        event(run.run_id, 11),
    ]
    assert store.history(run.run_id, after_seq=12) == []
    assert store.history("nobody") == []


def test_runs_that_have_ended_lately_are_found_by_workflow(store: Store) -> None:
    first, second, going = (submitted(store) for _ in range(3))
    other = submitted(store, workflow="weekly")
    epoch = store.claim_partition(3, "me")
    for run, end_us in ((first, 9_000), (second, 8_000), (other, 9_500)):
        store.commit(batch(epoch, run, status=run_pb2.STATUS_FAILED, end_us=end_us))
    store.commit(batch(epoch, going))
    found = store.ended_runs("default", "nightly", 8_000)
    assert [run.run_id for run in found] == [second.run_id, first.run_id]
    assert [run.run_id for run in store.ended_runs("default", "nightly", 8_001)] == [first.run_id]
    assert [run.run_id for run in store.ended_runs("default", "nightly", 0, limit=1)] == [
        second.run_id
    ]
    assert store.ended_runs("other", "nightly", 0) == []


def test_the_run_that_has_succeeded_last_is_found_by_its_parameters(store: Store) -> None:
    epoch = store.claim_partition(3, "me")

    def ended(end_us: int, status: int = run_pb2.STATUS_SUCCEEDED, **changes: Any) -> RunRecord:
        run = submitted(store, **changes)
        store.commit(batch(epoch, run, status=status, end_us=end_us, outputs='{"n":"1"}'))
        return run

    def found(since_us: int = 0, workflow: str = "nightly", **params: str) -> str:
        run = store.succeeded_run("default", workflow, params, since_us)
        return run.run_id if run is not None else ""

    assert found() == ""
    first = ended(9_000, params={"day": '"2026-01-01"', "n": "1.0"})
    second = ended(9_001, params={"day": '"2026-01-02"', "n": "2"})
    ended(9_002, status=run_pb2.STATUS_FAILED)
    ended(9_003, workflow="weekly")
    ended(9_004, tenant="other")
    assert found() == second.run_id
    assert found(since_us=9_001) == second.run_id
    assert found(since_us=9_002) == ""
    assert found(day='"2026-01-01"') == first.run_id
    assert found(day='"2026-01-01"', n="1") == first.run_id
    assert found(day='"2026-01-01"', n="2") == ""
    assert found(day='"2026-01-0"') == ""
    capital = ended(9_005, params={"day": '"x_%"', "who": '"Ada"'})
    assert found(who='"ada"') == ""
    assert found(who='"Ada"', day='"x_%"') == capital.run_id
    assert found(missing="null") == ""
    part = submitted(store)
    data = '{"only":["train"]}'
    store.commit(batch(epoch, part, status=run_pb2.STATUS_SUCCEEDED, end_us=9_009, data=data))
    assert found() == capital.run_id, "a run of a part of the workflow does not count"


def test_a_step_or_block_is_found_by_its_path(store: Store) -> None:
    run = submitted(store)
    rows = {
        "steps": {run.run_id: [step_row("a")]},
        "blocks": {run.run_id: [block_row("b", position=2)]},
    }
    store.commit(PartitionBatch(partition=3, epoch=store.claim_partition(3, "me"), **rows))  # type: ignore[arg-type]
    assert store.find_row(run.run_id, "a") == step_row("a")
    assert store.find_row(run.run_id, "b") == block_row("b", position=2)
    assert store.find_row(run.run_id, "c") is None
    assert store.find_row("other", "a") is None


def test_commands_wait_for_one_run_until_a_batch_names_them(store: Store) -> None:
    run, other = submitted(store), submitted(store)
    cancel = command_pb2.RunCommand(
        run_id=run.run_id, cancel=command_pb2.RequestRunCancel(reason="no")
    )
    store.add_command("default", run.run_id, cancel, 2_000)
    start, wait = store.waiting_commands(3, run.run_id)
    assert (start.WhichOneof("command"), wait) == ("start", cancel)
    assert len(store.waiting_commands(3, other.run_id)) == 1
    applied = [row.inbox_id for row in store.unapplied(3) if row.run_id == run.run_id]
    epoch = store.claim_partition(3, "me")
    store.commit(PartitionBatch(partition=3, epoch=epoch, applied_inbox=applied))
    assert store.waiting_commands(3, run.run_id) == []
    assert len(store.waiting_commands(3, other.run_id)) == 1


def test_one_run_is_read_with_its_rows_ended_or_not(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(3, "me")
    store.commit(batch(epoch, run, status=run_pb2.STATUS_FAILED, end_us=9_000))
    loaded = store.load_run(run.run_id)
    assert (loaded.run_id, loaded.row.status) == (run.run_id, run_pb2.STATUS_FAILED)
    assert [row.path for row in loaded.steps] == [row.path for row in store.list_steps(run.run_id)]
    with pytest.raises(NotFound):
        store.load_run("other")
