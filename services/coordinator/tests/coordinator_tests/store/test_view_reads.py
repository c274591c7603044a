"""What the view reads, on both databases: every filter in every order gives what the rows say, in pages that lose nothing."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import create_engine, text

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import run_queries
from kaon_coordinator.store.base import PartitionBatch, RunRecord, Store
from kaon_coordinator.store.view_reads import ViewReads, open_view_reads, waiting_gates
from kaon_wire.errors import Unavailable
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import runs_pb2

from .build import block_row, event, new_run, run_row, step_row, submitted

HOUR_US = 3_600_000_000
ORDERS = [order for order in runs_pb2.RunOrder.values() if order]


def filled(store: Store, number: int = 60) -> list[RunRecord]:
    """Runs of every kind, two of them at each moment."""
    draw, epoch = random.Random(3), store.claim_partition(3, "owner")
    for index in range(number):
        create_us = (index // 2 + 1) * HOUR_US
        run = store.submit_run(
            new_run(
                run_id=f"run-{index:03}",
                workflow=draw.choice(["a", "b", "c"]),
                params={"users": str(draw.randint(1, 3)), "name": '"U1 \\"users\\":\\"2\\""'},
                submitter=draw.choice(["ada", "eve"]),
                origin=draw.choice(["", "schedule:nightly", "schedule:weekly", "backfill:x"]),
                parent_run_id="run-000" if index % 7 == 6 else "",
                labels={"team": draw.choice(["x", "y"])} if index % 3 else {},
                now_us=create_us,
            )
        )[0]
        status = draw.choice([t.PENDING, t.RUNNING, t.SUCCEEDED, t.FAILED])
        ended = create_us + draw.randint(1, 9) * HOUR_US if status in t.TERMINAL else 0
        row = run_row(
            run.run_id,
            status=status,
            seq=1,
            start_us=create_us + index,
            end_us=ended,
            data='{"late":true}' if index % 5 == 0 else "{}",
            error='{"type":"LostRunners"}' if status == t.FAILED and index % 2 else "",
        )
        store.commit(
            PartitionBatch(partition=3, epoch=epoch, history=[event(run.run_id, 1)], runs=[row])
        )
    store.submit_run(new_run(run_id="theirs", tenant="theirs", workflow="a", labels={"team": "x"}))
    page = store.list_runs("default", page_size=number)
    return list(page.runs)


def at(time_us: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


CASES: dict[str, tuple[dict[str, Any], Callable[[RunRecord], bool]]] = {
    "all": ({}, lambda run: True),
    "status": ({"statuses": [t.FAILED]}, lambda run: run.row.status == t.FAILED),
    "statuses": (
        {"statuses": [t.FAILED, t.RUNNING]},
        lambda run: run.row.status in {t.FAILED, t.RUNNING},
    ),
    "workflows": ({"workflows": ["a", "c"]}, lambda run: run.workflow in {"a", "c"}),
    "workflow and status": (
        {"workflows": ["b"], "statuses": [t.SUCCEEDED]},
        lambda run: run.workflow == "b" and run.row.status == t.SUCCEEDED,
    ),
    "created": (
        {"created_from": at(5 * HOUR_US), "created_until": at(20 * HOUR_US)},
        lambda run: 5 * HOUR_US <= run.create_us < 20 * HOUR_US,
    ),
    "ended": (
        {"ended_from": at(9 * HOUR_US), "ended_until": at(20 * HOUR_US)},
        lambda run: 9 * HOUR_US <= run.row.end_us < 20 * HOUR_US,
    ),
    "origins": (
        {"origins": ["schedule:", "manual"]},
        lambda run: not run.origin.startswith("backfill"),
    ),
    "origin": ({"origins": ["schedule:weekly"]}, lambda run: run.origin == "schedule:weekly"),
    "submitters": ({"submitters": ["eve"]}, lambda run: run.submitter == "eve"),
    "parent": ({"parent_run_id": "run-000"}, lambda run: run.parent_run_id == "run-000"),
    "roots": ({"roots_only": True}, lambda run: not run.parent_run_id),
    "params": ({"params_json": {"users": " 2 "}}, lambda run: run.params["users"] == "2"),
    "label": ({"labels": {"team": "x"}}, lambda run: run.labels.get("team") == "x"),
    "any label": ({"labels": {"team": ""}}, lambda run: "team" in run.labels),
    "late": ({"late": True}, lambda run: '"late":true' in run.row.data),
    "not late": (
        {"late": False, "workflows": ["a"]},
        lambda run: run.workflow == "a" and run.row.data == "{}",
    ),
    "quarantined": ({"quarantined": True}, lambda run: "LostRunners" in run.row.error),
    "failed otherwise": (
        {"quarantined": False, "statuses": [t.FAILED]},
        lambda run: run.row.status == t.FAILED and not run.row.error,
    ),
    "text": ({"text": "RUN-01"}, lambda run: "run-01" in run.run_id),
    "percent": ({"text": "%"}, lambda run: False),
    "ids": ({"run_ids": ["run-003", "theirs"]}, lambda run: run.run_id == "run-003"),
}


def _key(order: int) -> Callable[[RunRecord], tuple[int, str]]:
    if order in {runs_pb2.RUN_ORDER_NEWEST, runs_pb2.RUN_ORDER_OLDEST}:
        return lambda run: (run.create_us, run.run_id)
    if order in {runs_pb2.RUN_ORDER_ENDED_LAST, runs_pb2.RUN_ORDER_ENDED_FIRST}:
        return lambda run: (run.row.end_us, run.run_id)
    return lambda run: (run.row.end_us - run.row.start_us, run.run_id)


_FORWARDS = {runs_pb2.RUN_ORDER_OLDEST, runs_pb2.RUN_ORDER_ENDED_FIRST, runs_pb2.RUN_ORDER_SHORTEST}
_BY_SUBMISSION = {runs_pb2.RUN_ORDER_NEWEST, runs_pb2.RUN_ORDER_OLDEST}


@pytest.fixture
def reads(store: Store, url: str) -> Iterator[ViewReads]:
    """The view's connections to the store's database."""
    reads = open_view_reads(url)
    yield reads
    reads.close()


@pytest.mark.parametrize("window", [4, 20_000])
def test_every_filter_in_every_order_gives_its_runs_once(
    store: Store, url: str, reads: ViewReads, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_queries, "WINDOW_RUNS", window)
    records = filled(store)
    for (fields, holds), order in itertools.product(CASES.values(), ORDERS):
        expected = [
            run for run in records if holds(run) and (order in _BY_SUBMISSION or run.row.end_us)
        ]
        expected.sort(key=_key(order), reverse=order not in _FORWARDS)
        wish, found, token = runs_pb2.RunFilter(**fields), [], ""
        while True:
            page = reads.query_runs("default", wish, order=order, page_size=7, page_token=token)  # type: ignore[arg-type]
            found += [run.run_id for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        assert found == [run.run_id for run in expected], (fields, order)


def test_counts_are_those_of_the_rows(store: Store, url: str, reads: ViewReads) -> None:
    records = filled(store)
    for fields, holds in CASES.values():
        wish = runs_pb2.RunFilter(**fields)
        told = reads.count_runs("default", wish, 0, 0).counts
        totals = Counter(run.row.status for run in records if holds(run))
        assert {status: number for (_, status), number in told.items()} == dict(totals), fields
        found = reads.count_runs("default", wish, 5, 40 * HOUR_US)
        buckets: Counter[int] = Counter()
        for (bucket, _), number in found.counts.items():
            buckets[bucket] += number
        begin, length = found.from_us, found.bucket_us
        assert buckets == Counter(
            (run.create_us - begin) // length for run in records if holds(run)
        )


def test_a_run_is_read_as_it_is_at_one_moment(store: Store, url: str, reads: ViewReads) -> None:
    run = submitted(store)
    inside = [
        step_row("regions[US]/work", position=4),
        step_row("regions[CA]/work", position=6, attempt=2),
    ]
    cell = block_row("regions[US]", kind="cell", position=3, data='{"block":"regions","index":0}')
    batch = PartitionBatch(
        partition=run.partition,
        epoch=store.claim_partition(run.partition, "me"),
        history=[event(run.run_id, seq) for seq in range(1, 6)],
        runs=[run_row(run.run_id, seq=5)],
        steps={run.run_id: [step_row(), *inside]},
        blocks={run.run_id: [block_row(), cell]},
    )
    store.commit(batch)
    whole = reads.whole_run(run.run_id)
    assert (whole.row.seq, len(whole.steps), len(whole.blocks)) == (5, 3, 2)
    outline = reads.outline(run.run_id)
    assert (outline.steps, outline.blocks) == ([step_row()], [block_row()])
    assert outline.counted_steps == [("regions[]/work", t.RUNNING, 2, 1, 0, 0)]
    assert outline.counted_blocks == [("regions[]", "cell", t.RUNNING, "", 1)]
    cells = reads.cell_rows(run.run_id, "regions")
    assert (cells.seq, [row[0] for row in cells.cells], len(cells.steps)) == (5, ["regions[US]"], 2)
    assert [each.seq for each in reads.history_before(run.run_id, 4, 2)] == [3, 2]
    assert set(reads.events_at(run.run_id, {1, 5, 9})) == {1, 5}
    assert reads.newest_seqs([run.run_id, "none"]) == reads.open_seqs() == {run.run_id: 5}
    assert [each.run_id for each in reads.runs_of("default", [run.run_id])] == [run.run_id]
    assert reads.runs_of("theirs", [run.run_id]) == []
    assert set(reads.rows_at([run.run_id], "work")) == {run.run_id}


def test_what_is_alike_in_cells_is_counted_by_the_database(
    store: Store, url: str, reads: ViewReads
) -> None:
    run = submitted(store)
    first_us = 1_700_000_000_000_000
    ended = {"status": t.SUCCEEDED, "start_us": first_us}
    inside = [
        # Beyond the whole numbers of four bytes; one that took no time counts as a microsecond; one was skipped.
        step_row("a/by#2[x]/in[y]/s", **ended, end_us=first_us + 9_000_000_000),
        step_row("a/by#2[x]/in[z]/s", **ended, end_us=first_us),
        step_row("a/by#2[k[1]]/s", **ended, end_us=first_us + 5, attempt=3),
        step_row("a/by#2[w]/s", **ended, end_us=first_us + 7),
        step_row("a/by#2[v]/s", status=t.SKIPPED, start_us=0),
    ]
    cells = [block_row(f"a/by#2[{key}]", kind="cell", data='{"index":1}') for key in "xwv"]
    nested = block_row("a/by#2[x]/in", data='{"total":2}')
    batch = PartitionBatch(
        partition=run.partition,
        epoch=store.claim_partition(run.partition, "me"),
        runs=[run_row(run.run_id)],
        steps={run.run_id: inside},
        blocks={run.run_id: [*cells, nested]},
    )
    store.commit(batch)
    outline = reads.outline(run.run_id)
    assert (outline.steps, outline.blocks) == ([], [])
    assert sorted(outline.counted_steps) == [
        ("a/by#2[]/in[y]/s", t.SUCCEEDED, 1, 0, 1, 9_000_000_000),
        ("a/by#2[]/in[z]/s", t.SUCCEEDED, 1, 0, 1, 1),
        ("a/by#2[]/s", t.SUCCEEDED, 1, 0, 1, 7),
        ("a/by#2[]/s", t.SKIPPED, 1, 0, 0, 0),
        ("a/by#2[]]/s", t.SUCCEEDED, 1, 1, 1, 5),
    ]
    assert all(type(value) in {str, int} for row in outline.counted_steps for value in row)
    assert sorted(outline.counted_blocks) == [
        ("a/by#2[]", "cell", t.RUNNING, "", 3),
        ("a/by#2[]/in", "for_each", t.RUNNING, '{"total":2}', 1),
    ]


def test_gates_that_wait_are_found_without_looking_at_other_blocks(store: Store, url: str) -> None:
    epoch = store.claim_partition(3, "me")
    for index in range(200):
        run = submitted(store)
        blocks = [block_row(f"b{each}", kind="group", position=each) for each in range(10)]
        if index == 7:
            blocks.append(block_row("ask", kind="gate", status=t.WAITING, position=11))
        rows = PartitionBatch(
            partition=3, epoch=epoch, runs=[run_row(run.run_id)], blocks={run.run_id: blocks}
        )
        store.commit(rows)
    engine = create_engine(url)
    query = waiting_gates("default").compile(engine, compile_kwargs={"literal_binds": True})
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
        sqlite = url.startswith("sqlite")
        explained = f"{'EXPLAIN QUERY PLAN' if sqlite else 'EXPLAIN'} {query}"
        plan = str(connection.exec_driver_sql(explained).all())
        found = connection.execute(waiting_gates("default")).all()
    engine.dispose()
    assert "blocks_waiting_gates_idx" in plan
    assert len(found) == 1


def test_lines_are_read_from_either_end(store: Store, url: str, reads: ViewReads) -> None:
    for attempt, path in ((1, "a=0/s"), (2, "a=0/s"), (1, "b")):
        key = step_pb2.StepKey(run_id="run", path=path, attempt=attempt, generation=1)
        lines = [log_pb2.LogLine(sequence=1, text=path)]
        store.archive_logs([log_pb2.LogLines(key=key, incarnation="i", lines=lines)])
    first, second, third = (chunk.chunk_id for chunk in reads.log_chunks("run", "", 0))
    assert [chunk.chunk_id for chunk in reads.log_chunks("run", "a", 0, before=2**62)] == [
        second,
        first,
    ]
    assert [chunk.chunk_id for chunk in reads.log_chunks("run", "", 1, after=first)] == [third]
    assert reads.lines_left_out("run", "a", 0) == 0


@pytest.mark.parametrize("prepared", [False])
def test_a_database_without_tables_is_waited_for(url: str) -> None:
    with pytest.raises(Unavailable, match="a coordinator of the same version"):
        open_view_reads(url)
