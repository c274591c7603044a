"""The archive of what steps printed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from simulation.memory_store import MemoryStore
from sqlalchemy import create_engine, func, select

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.tables import log_chunks
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


def _lines(
    *numbers: int,
    path: str = "work",
    generation: int = 1,
    incarnation: str = "life-1",
    dropped: int = 0,
) -> log_pb2.LogLines:
    key = step_pb2.StepKey(run_id="run", path=path, attempt=1, generation=generation)
    lines = [
        log_pb2.LogLine(
            sequence=number, time_us=number, stream=log_pb2.STREAM_STDOUT, text=f"line {number}"
        )
        for number in numbers
    ]
    return log_pb2.LogLines(key=key, incarnation=incarnation, lines=lines, dropped=dropped)


def _read(store: Store, path: str = "", after_chunk: int = 0) -> list[log_pb2.LogLines]:
    chunks = store.read_logs("run", path, after_chunk)
    return [log_pb2.LogLines.FromString(chunk.payload) for chunk in chunks]


def _numbers(store: Store, path: str = "") -> list[int]:
    return [line.sequence for record in _read(store, path) for line in record.lines]


SMALL = LogBounds(head_lines=5, tail_lines=20, head_bytes=60, tail_bytes=400)


@pytest.fixture
def small(url: str) -> Iterator[Store]:
    """A store that keeps little of a lease."""
    store = MemoryStore(SMALL) if url == "memory" else open_store(url, log_bounds=SMALL)
    yield store
    store.close()


def test_records_are_read_back_as_they_arrived(store: Store) -> None:
    records = [_lines(1, 2), _lines(1, path="other", dropped=7), _lines(3)]
    assert store.archive_logs(records) == {"run"}
    assert _read(store) == records
    chunk = store.read_logs("run")[1]
    assert (chunk.key, chunk.incarnation) == (records[1].key, "life-1")


def test_reading_goes_on_after_the_last_chunk_seen(store: Store) -> None:
    store.archive_logs([_lines(1), _lines(2)])
    (first,) = store.read_logs("run", limit=1)
    assert _read(store, after_chunk=first.chunk_id) == [_lines(2)]
    last = store.read_logs("run")[-1].chunk_id
    assert _read(store, after_chunk=last) == []
    store.archive_logs([_lines(3)])
    assert _read(store, after_chunk=last) == [_lines(3)]


def test_lines_that_come_again_are_dropped_however_they_are_cut(store: Store) -> None:
    store.archive_logs([_lines(1, 2, 3)])
    assert store.archive_logs([_lines(1, 2, 3)]) == frozenset()
    store.archive_logs([_lines(3, 4), _lines(4, 5)])
    assert _numbers(store) == [1, 2, 3, 4, 5]


def test_lines_that_arrive_out_of_order_are_kept(store: Store) -> None:
    store.archive_logs([_lines(4, 5)])
    store.archive_logs([_lines(1, 2)])
    store.archive_logs([_lines(1, 2, 3, 4)])
    assert _numbers(store) == [4, 5, 1, 2, 3]


def test_two_lives_of_a_runner_do_not_hide_each_others_lines(store: Store) -> None:
    store.archive_logs([_lines(1), _lines(1, incarnation="life-2"), _lines(1, generation=2)])
    assert _numbers(store) == [1, 1, 1]


def test_a_record_that_only_says_what_was_lost_is_kept(store: Store) -> None:
    assert store.archive_logs([_lines(dropped=40)]) == {"run"}
    assert _read(store) == [_lines(dropped=40)]


def test_of_a_lease_the_first_and_the_last_lines_stay_and_others_are_not_touched(
    small: Store,
) -> None:
    small.archive_logs([_lines(*range(1, 5)), _lines(1, path="other")])
    small.archive_logs([_lines(*range(5, 31))])
    assert [chunk.left_out for chunk in small.read_logs("run")] == [(6, 10), None, (6, 10), (6, 10)]
    assert _numbers(small, "work") == [*range(1, 6), *range(11, 31)]
    assert _numbers(small, "other") == [1]


def test_lines_that_are_left_out_stay_so_when_they_come_again(small: Store) -> None:
    for number in range(1, 101):
        small.archive_logs([_lines(number)])
    kept = _numbers(small)
    assert small.archive_logs([_lines(*range(1, 101)), _lines(*range(40, 60))]) == frozenset()
    assert _numbers(small) == kept == [*range(1, 6), *range(81, 101)]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_the_first_and_the_last_lines_stay_and_the_gap_is_exact(
    small: Store, seed: int
) -> None:
    draw = random.Random(seed)
    for case in range(12):
        path, total = f"case-{case}", draw.choice([1, 5, 6, 24, 25, 26, 27, 60, 130])
        for records in _deliveries(draw, path, total):
            small.archive_logs(records)
        wanted = [n for n in range(1, total + 1) if n <= 5 or n > total - 20]
        assert _numbers(small, path) == wanted, (path, total)
        told = {chunk.left_out for chunk in small.read_logs("run", path)}
        assert len(told) == 1
        (left_out,) = told
        assert (left_out is None) == (total <= 5)
        if left_out is not None:
            assert list(range(left_out[0], left_out[1] + 1)) == [*range(6, total - 19)]


def _deliveries(draw: random.Random, path: str, total: int) -> Iterator[list[log_pb2.LogLines]]:
    """All lines up to `total` in records and calls of any size, with some that come again as after a takeover."""
    at = 1
    while at <= total:
        records = []
        for _ in range(draw.randint(1, 4)):
            first = max(1, at - draw.choice([0, 0, 0, 1, 7, 40]))
            at = min(total + 1, at + draw.choice([1, 1, 2, 5, 30]))
            records.append(_sized(path, range(first, at), 1))
            if at > total:
                break
        yield records


def _sized(path: str, numbers: Sequence[int], size: int) -> log_pb2.LogLines:
    record = _lines(*numbers, path=path)
    for line in record.lines:
        line.text = "ü" * (size // 2) + "." * (size % 2)
    return record


@pytest.mark.parametrize("size", [7, 31, 62])
def test_a_lease_is_bounded_in_its_bytes_too(small: Store, size: int) -> None:
    for number in range(1, 201, 2):
        small.archive_logs([_sized("work", (number, number + 1), size)])
    numbers, left_out = _numbers(small), small.read_logs("run")[-1].left_out
    assert left_out is not None
    assert numbers == [*range(1, left_out[0]), *range(left_out[1] + 1, 201)]
    head, tail = left_out[0] - 1, 200 - left_out[1]
    assert head == min(5, SMALL.head_bytes // size)
    # The tail is at least half full.
    assert min(20, 200 // size) <= tail <= min(20, (SMALL.tail_bytes + 2 * size) // size)


def test_one_line_that_is_larger_than_the_head_is_of_the_tail(small: Store) -> None:
    small.archive_logs([_sized("work", (1,), 61), _sized("work", (2,), 1)])
    assert _numbers(small) == [1, 2]
    small.archive_logs([_sized("work", range(3, 51), 1)])
    assert _numbers(small) == [*range(31, 51)]
    assert small.read_logs("run")[0].left_out == (1, 30)


def test_rows_of_a_lease_are_bounded_while_its_log_flows(small: Store, url: str) -> None:
    if url == "memory":
        pytest.skip("looks into the tables")
    engine, most = create_engine(url), 0
    for number in range(1, 301):
        small.archive_logs([_lines(number), _lines(dropped=1)])
        with engine.connect() as connection:
            most = max(
                most, connection.execute(select(func.count()).select_from(log_chunks)).scalar_one()
            )
    engine.dispose()
    # One for each line and one for each record of lost ones.
    assert most <= 2 * (SMALL.head_lines + SMALL.tail_lines + SMALL.slack)


def test_logs_are_read_by_path(store: Store) -> None:
    paths = [
        "cycle#1/work",
        "cycle#10/work",
        "cycle#1",
        "cycle#1/regions[US]/work",
        "cycle#1/regions[UK]/work",
        "cycle-2",
    ]
    store.archive_logs([_lines(1, path=path) for path in paths])

    def found(path: str) -> list[str]:
        return [record.key.path for record in _read(store, path)]

    assert found("") == paths
    assert found("cycle#1") == [paths[0], *paths[2:5]]
    assert found("cycle") == paths[:5]
    assert found("cycle#1/regions") == paths[3:5]
    assert found("cycle#1/regions[US]") == [paths[3]]
    assert found("cycle#1/work") == [paths[0]]
    assert found("work") == []
