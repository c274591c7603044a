"""Records for tests."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.store.base import NewRun, PartitionBatch, RunRecord, Store
from kaonapi.run.v1 import history_pb2, run_pb2

VERSION = "sha256:" + "a" * 64


def new_run(**changes: object) -> NewRun:
    """A run that may be submitted."""
    run = NewRun(
        run_id=uuid4().hex,
        tenant="default",
        workflow="nightly",
        version=VERSION,
        partition=3,
        params={"users": "10"},
        submitter="ada",
        idempotency_key="",
        now_us=1_000,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def submitted(store: Store, **changes: object) -> RunRecord:
    """A run that has been submitted."""
    return store.submit_run(new_run(**changes))[0]


def run_row(run_id: str, **changes: object) -> RunRow:
    """The row of a run that is under way."""
    row = RunRow(
        run_id=run_id,
        status=run_pb2.STATUS_RUNNING,
        seq=2,
        start_us=2_000,
        end_us=0,
        error="",
        cancel_requested=False,
        steps_total=1,
        steps_succeeded=0,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def step_row(path: str = "work", **changes: object) -> StepRow:
    """The row of a step that is under way."""
    row = StepRow(
        path=path,
        position=1,
        name="work",
        status=run_pb2.STATUS_RUNNING,
        attempt=1,
        generation=1,
        runner_id="runner-1",
        incarnation="life-1",
        ready_us=2_000,
        start_us=2_500,
        end_us=0,
        retry_us=0,
        data='{"type":"python"}',
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def block_row(path: str = "regions", **changes: object) -> BlockRow:
    """The row of a foreach that is under way."""
    row = BlockRow(path=path, position=2, kind="for_each", status=run_pb2.STATUS_RUNNING, data="{}")
    return replace(row, **changes)  # type: ignore[arg-type]


def event(run_id: str, seq: int, path: str = "work") -> history_pb2.HistoryEvent:
    """An event of a run."""
    ready = history_pb2.StepBecameReady(
        path=path, attempt=1, generation=1, inputs_json={"b": "2", "a": "1"}
    )
    return history_pb2.HistoryEvent(
        run_id=run_id, seq=seq, time_us=2_000 + seq, step_became_ready=ready
    )


def batch(
    epoch: int, run: RunRecord, *, first: int = 1, last: int = 2, **row: object
) -> PartitionBatch:
    """What the owner decides about one run: events from `first` to `last`."""
    return PartitionBatch(
        partition=run.partition,
        epoch=epoch,
        history=[event(run.run_id, seq) for seq in range(first, last + 1)],
        runs=[run_row(run.run_id, seq=last, **row)],
        steps={run.run_id: [step_row()]},
        blocks={run.run_id: [block_row()]},
    )
