"""How long lists and counts of very many runs take, on SQLite: `python benchmarks/list_runs.py --runs 1000000`."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import insert, text

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.tables import run_labels, runs
from kaon_coordinator.store.view_reads import ViewReads, open_view_reads
from kaon_service.databases import Durability, open_database
from kaonapi.view.v1 import runs_pb2

_MINUTE_US = 60_000_000
_AT_ONCE = 10_000


def rows(number: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Runs of fifty workflows, one a minute; a few have failed, and some have labels."""
    draw = random.Random(1)
    for index in range(number):
        run_id, create_us = f"01{index:024d}", (index + 1) * _MINUTE_US
        status = draw.choices((t.SUCCEEDED, t.FAILED, t.CANCELLED), (95, 4, 1))[0]
        status = t.RUNNING if index > number - 100 else status
        names = {"team": f"team-{index % 20}"} if index % 5 == 0 else {}
        end_us = 0 if status == t.RUNNING else create_us + draw.randrange(1_000, 10**9)
        fixed = {
            "tenant": "default",
            "version": "sha256:0",
            "partition": 0,
            "payload_digest": "",
            "seq": 9,
            "published_seq": 9,
        }
        fixed |= {
            "error": "",
            "cancel_requested": 0,
            "steps_total": 3,
            "steps_succeeded": 3,
            "priority": 0,
            "depth": 0,
        }
        fixed |= {
            "parent_run_id": "",
            "parent_path": "",
            "fork_run_id": "",
            "fork_seq": 0,
            "outputs": "",
            "data": "{}",
        }
        row = fixed | {
            "run_id": run_id,
            "workflow": f"workflow-{index % 50}",
            "params": f'{{"day":"\\"{index}\\"","users":"10"}}',
            "submitter": f"user-{index % 30}",
            "idempotency_key": None,
            "create_us": create_us,
            "status": int(status),
            "start_us": create_us,
            "end_us": end_us,
            "open": int(not end_us),
            "origin": "schedule:nightly" if index % 2 else "",
            "labels": '{"team":"x"}' if names else "",
        }
        own = {"run_id": run_id, "tenant": "default", "create_us": create_us}
        labels = [own | {"name": name, "value": value} for name, value in names.items()]
        yield row, labels


def fill(url: str, number: int) -> None:
    """Makes the runs."""
    open_store(url, durability=Durability.RELAXED).close()
    database = open_database(url, Durability.RELAXED)
    waiting: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    with database.writer.begin() as connection:
        for row, labels in rows(number):
            waiting[0].append(row)
            waiting[1].extend(labels)
            if len(waiting[0]) == _AT_ONCE:
                _write(connection, waiting)
        _write(connection, waiting)
    with database.writer.begin() as connection:
        connection.execute(text("ANALYZE"))
    database.close()


def _write(connection: Any, waiting: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
    for table, part in zip((runs, run_labels), waiting, strict=True):
        if part:
            connection.execute(insert(table), part)
        part.clear()


def cases(reads: ViewReads, number: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is measured."""

    def listed(**fields: Any) -> Callable[[], object]:
        order = fields.pop("order", runs_pb2.RUN_ORDER_NEWEST)
        token = fields.pop("page_token", "")
        wish = runs_pb2.RunFilter(**fields)
        return lambda: reads.query_runs("default", wish, order=order, page_token=token).runs

    middle = Timestamp()
    middle.FromMicroseconds(number // 2 * _MINUTE_US)
    yield "newest", listed()
    yield "oldest", listed(order=runs_pb2.RUN_ORDER_OLDEST)
    yield "ended last", listed(order=runs_pb2.RUN_ORDER_ENDED_LAST)
    yield "longest", listed(order=runs_pb2.RUN_ORDER_LONGEST)
    yield "running", listed(statuses=[t.RUNNING])
    yield "failed or cancelled", listed(statuses=[t.FAILED, t.CANCELLED])
    yield "one workflow, failed", listed(workflows=["workflow-7"], statuses=[t.FAILED])
    yield "one label", listed(labels={"team": "team-5"})
    yield "before the middle", listed(created_until=middle)
    yield "one submitter of a schedule", listed(submitters=["user-3"], origins=["schedule:"])
    yield "text, found often", listed(text="workflow-3")
    yield "text, found once (first page)", listed(text="000000000000000000000777")
    yield "parameter (first page)", listed(params_json={"day": f'"{number // 2}"'})
    yield (
        "counted by status",
        lambda: reads.count_runs("default", runs_pb2.RunFilter(), 0, 0).counts,
    )
    last_day = Timestamp()
    last_day.FromMicroseconds((number - 1_440) * _MINUTE_US)
    day = runs_pb2.RunFilter(created_from=last_day)
    yield (
        "last day in 200 buckets",
        lambda: reads.count_runs("default", day, 200, number * _MINUTE_US).counts,
    )
    end = number * _MINUTE_US
    yield (
        "all in 200 buckets",
        lambda: reads.count_runs("default", runs_pb2.RunFilter(), 200, end).counts,
    )


def main() -> None:
    """Prints a line for each case: the best and the worst of five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--database", help="a URL; default: SQLite in a directory that is removed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = given.database or f"sqlite:///{Path(directory)}/kaon.db"
        fill(url, given.runs)
        reads = open_view_reads(url)
        for name, call in cases(reads, given.runs):
            times, found = [], 0
            for _ in range(5):
                began = time.perf_counter()
                found = len(call())  # type: ignore[arg-type]
                times.append((time.perf_counter() - began) * 1_000)
            print(
                f"{name:32} {min(times):7.1f} ms  worst {max(times):7.1f} ms  {found} found",
                flush=True,
            )
        reads.close()


if __name__ == "__main__":
    main()
