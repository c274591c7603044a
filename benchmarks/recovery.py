"""A coordinator takes over a partition: from the claim to the requests and leases of all that was in flight, on a real store.

    .venv/bin/python -m benchmarks.recovery                     # 100,000 active steps; with 100,000 old finished runs beside them
    .venv/bin/python -m benchmarks.recovery --steps 10000 --database postgresql+psycopg://...

Prints wall seconds of claim, load and adoption and CPU seconds of this process, with and without the old runs: the cost must not
depend on them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.engine import Played, foreach
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.rows.codec import run_row
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.lease_book import LeaseBook
from kaon_coordinator.shell.partition import Partition, Stored
from kaon_coordinator.store.base import NewRun, PartitionBatch, Store
from kaon_coordinator.store.sql import open_store
from kaonapi.workflow.v1 import definition_pb2 as d

# One foreach keeps fewer cells open than all these steps.
RUNS = 10


def submitted(run_id: str) -> NewRun:
    """A run as a client submits it."""
    return NewRun(
        run_id=run_id,
        tenant="default",
        workflow="x",
        version="v1",
        partition=0,
        params={},
        submitter="me",
        idempotency_key="",
        now_us=1_000_000,
    )


def fill(store: Store, steps: int) -> d.WorkflowDefinition:
    """Stores ten runs whose steps (but the first) have holders, so many in all; returns their definition."""
    definition = d.WorkflowDefinition(name="x", body=foreach(steps // RUNS))
    played = Played(definition=definition, only_start=True)
    played.play()
    rows = list(played.rows.values())
    for number in range(RUNS):
        run_id = f"r{number}"
        store.submit_run(submitted(run_id))
        batch = PartitionBatch(
            partition=0,
            epoch=store.claim_partition(0, "filler"),
            runs=[replace(run_row(played.state), run_id=run_id)],
            steps={run_id: [row for row in rows if isinstance(row, StepRow)]},
            blocks={run_id: [row for row in rows if isinstance(row, BlockRow)]},
            applied_inbox=[row.inbox_id for row in store.unapplied(0, 10)],
            published={run_id: played.state.seq},
        )
        store.commit(batch)
    return definition


def age(store: Store, runs: int) -> None:
    """Stores runs that have ended long ago."""
    epoch = store.claim_partition(0, "filler")
    for ids in chunks([f"old-{number}" for number in range(runs)], 5_000):
        records = store.submit_runs([submitted(run_id) for run_id in ids])
        inbox = store.unapplied(0, len(ids))
        rows = [
            replace(record[0].row, status=t.SUCCEEDED, seq=2, start_us=1, end_us=2)
            for record in records
            if isinstance(record, tuple)
        ]
        store.commit(
            PartitionBatch(
                partition=0,
                epoch=epoch,
                runs=rows,
                applied_inbox=[row.inbox_id for row in inbox],
                published=dict.fromkeys(ids, 2),
            )
        )


def chunks(values: list[str], size: int) -> Iterator[list[str]]:
    """The values, so many at a time."""
    for first in range(0, len(values), size):
        yield values[first : first + size]


def recover(store: Store, definition: d.WorkflowDefinition) -> dict[str, float]:
    """Takes the partition over and says how long each part took, in seconds."""
    workflow = compile_workflow(definition, "v1")
    begun, cpu = time.perf_counter(), time.process_time()
    epoch = store.claim_partition(0, "next")
    claimed = time.perf_counter()
    runs = store.load_runs(0)
    loaded = time.perf_counter()
    partition = Partition(number=0, epoch=epoch, leases=LeaseBook())
    partition.adopt([Stored(run=run, workflow=workflow) for run in runs], time.monotonic())
    adopted, cpu = time.perf_counter(), time.process_time() - cpu
    leases = len(partition.watch.leases)
    active = sum(len(run.steps) - 2 for run in partition.runs.values())
    assert leases == active, f"{leases} of {active} leases are watched"
    return {
        "claim": claimed - begun,
        "load": loaded - claimed,
        "adopt": adopted - loaded,
        "all": adopted - begun,
        "CPU": cpu,
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.recovery", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--steps", type=int, default=100_000, help="active steps, in ten runs")
    parser.add_argument("--old", type=int, default=100_000, help="finished runs beside it")
    parser.add_argument(
        "--database", default="", help="an empty database; by default a SQLite file of its own"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kaon-recovery-") as directory:
        store = open_store(arguments.database or f"sqlite:///{directory}/kaon.db")
        try:
            definition = fill(store, arguments.steps)
            active = arguments.steps
            for title in ("without old runs", f"with {arguments.old:,} old runs"):
                took = recover(store, definition)
                parts = "  ".join(f"{name} {seconds:6.2f} s" for name, seconds in took.items())
                print(f"{active:,} active steps, {title:24} {parts}", flush=True)
                if title == "without old runs":
                    age(store, arguments.old)
        finally:
            store.close()


if __name__ == "__main__":
    main()
