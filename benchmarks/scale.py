"""What many runs cost those that are worked on.

    .venv/bin/python -m benchmarks.scale parked            # 20,000 runs wait at gates: memory of each, CPU of a step beside them
    .venv/bin/python -m benchmarks.scale ended             # 1,000,000 ended runs in PostgreSQL: list, submit, takeover

Each figure stands beside the same without the many, measured in the same session.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import structlog
from sqlalchemy import text

from benchmarks.alone import Alone, alone, play
from benchmarks.engine import resident
from benchmarks.list_runs import fill
from kaon_coordinator.store.base import NewRun, Store
from kaon_coordinator.store.sql import open_store
from kaon_local.postgres import temporary_postgres
from kaon_service.databases import Durability, open_database
from kaon_wire import canonical
from kaonapi.workflow.v1 import definition_pb2 as d

_STEPS = 500
_BATCH = 32
_REPEATS = 9
# Rows that are made one by one; the others are copies of them.
_BASE = 10_000
_NEW = NewRun(
    run_id="",
    tenant="default",
    workflow="parked",
    version="",
    partition=0,
    params={},
    submitter="me",
    idempotency_key="",
    now_us=1,
)


async def parked(runs: int) -> None:
    """Runs that wait at gates, and a foreach beside them."""
    async with alone() as parts:
        await play(parts, _STEPS, _BATCH, run_id="warm")
        before = await _step_us(parts, "before")
        gc.collect()
        memory = resident()
        await _park(parts, runs)
        gc.collect()
        memory = resident() - memory
        after = await _step_us(parts, "after")
    print(f"{runs} runs at gates: {memory / runs:.0f} bytes of memory each")
    print(
        f"a step costs {before:.0f} us of CPU without them, {after:.0f} with them: {after / before:.2f} times"
    )


async def _step_us(parts: Alone, name: str) -> float:
    return statistics.median(
        [
            (await play(parts, _STEPS, _BATCH, run_id=f"{name}-{number}"))["cpu_us_per_step"]
            for number in range(_REPEATS)
        ]
    )


async def _park(parts: Alone, runs: int) -> None:
    gate = d.Block(name="gate", gate=d.Gate(signal=d.SignalGate(name="go")))
    definition = d.WorkflowDefinition(name="parked", body=d.Graph(blocks=[gate]))
    version = canonical.digest_message(definition)
    parts.store.store.put_workflow("default", definition, version, 1)
    many = (replace(_NEW, run_id=f"p{number:06d}", version=version) for number in range(runs))
    # As many at once as a busy server is given.
    while chunk := [run for run, _ in zip(many, range(200), strict=False)]:
        await asyncio.gather(*map(parts.coordinator.begin, chunk))


def ended(runs: int) -> None:
    """Ended runs in the database, and what is done beside them."""
    with temporary_postgres(durable=False) as server:
        few, many = server.create_database("few"), server.create_database("many")
        for url in (few, many):
            fill(url, _BASE)
        began = time.monotonic()
        _copy(many, runs // _BASE - 1)
        print(f"{runs} runs were made in {time.monotonic() - began:.0f} s")
        stores = {
            name: open_store(url, durability=Durability.RELAXED)
            for name, url in (("few", few), ("many", many))
        }
        for name, call in _CALLS.items():
            took: dict[str, list[float]] = {"few": [], "many": []}
            for _ in range(5 * _REPEATS):
                # In turn: whatever else the machine does meets both.
                for which, store in stores.items():
                    began = time.perf_counter()
                    call(store)
                    took[which].append(time.perf_counter() - began)
            # The first quartile: what others do on the machine makes some calls much slower.
            quick = {which: 1000 * statistics.quantiles(found)[0] for which, found in took.items()}
            print(
                f"{name:<10} {quick['few']:6.2f} ms beside {_BASE} runs, {quick['many']:6.2f} ms beside {runs}: "
                f"{quick['many'] / quick['few']:.2f} times"
            )
        for store in stores.values():
            store.close()


def _copy(url: str, times: int) -> None:
    database = open_database(url, Durability.RELAXED)
    with database.writer.begin() as connection:
        found = connection.execute(
            text("select column_name from information_schema.columns where table_name = 'runs'")
        )
        others = ", ".join(sorted(set(found.scalars()) - {"run_id"}))
        copies = text(
            f"insert into runs (run_id, {others}) select '00' || n || run_id, {others} "
            f"from runs, generate_series(1, {times}) n where open = 0"
        )
        connection.execute(copies)
    with database.writer.begin() as connection:
        connection.execute(text("analyze"))
    database.close()


def _list(store: Store) -> object:
    return store.list_runs("default")


def _submit(store: Store) -> object:
    return store.submit_run(
        replace(_NEW, run_id=uuid4().hex, partition=1, idempotency_key=uuid4().hex)
    )


def _take_over(store: Store) -> object:
    return store.claim_partition(0, "me"), store.load_runs(0), store.unapplied(0)


_CALLS: dict[str, Callable[[Store], object]] = {
    "list": _list,
    "submit": _submit,
    "take over": _take_over,
}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("part", choices=("parked", "ended"))
    parser.add_argument("--runs", type=int, default=0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.part == "parked":
        asyncio.run(parked(options.runs or 20_000))
    else:
        ended(options.runs or 1_000_000)


if __name__ == "__main__":
    main()
