"""The archive of what steps printed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulation.memory_store import MemoryStore

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.logs import LogBounds
from kaon_coordinator.store.sql import open_store
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2


def _lines(
    *numbers: int, path: str = "work", generation: int = 1, incarnation: str = "life-1", dropped: int = 0
) -> log_pb2.LogLines:
    key = step_pb2.StepKey(run_id="run", path=path, attempt=1, generation=generation)
    lines = [
        log_pb2.LogLine(sequence=number, time_us=number, stream=log_pb2.STREAM_STDOUT, text=f"line {number}")
        for number in numbers
    ]
    return log_pb2.LogLines(key=key, incarnation=incarnation, lines=lines, dropped=dropped)


def _read(store: Store, path: str = "", after_chunk: int = 0) -> list[log_pb2.LogLines]:
    chunks = store.read_logs("run", path, after_chunk)
    return [log_pb2.LogLines.FromString(chunk.payload) for chunk in chunks]


def _numbers(store: Store) -> list[int]:
    return [line.sequence for record in _read(store) for line in record.lines]


@pytest.fixture
def small(url: str) -> Iterator[Store]:
    """A store that keeps 5 lines or 60 bytes of a lease."""
    bounds = LogBounds(lines=5, size_bytes=60)
    store = MemoryStore(bounds) if url == "memory" else open_store(url, log_bounds=bounds)
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


def test_a_lease_is_cut_at_its_bound_and_told_so_once(small: Store) -> None:
    small.archive_logs([_lines(1, 2, 3, 4)])
    small.archive_logs([_lines(5, 6, 7)])
    assert small.archive_logs([_lines(8), _lines(9, dropped=2)]) == frozenset()
    assert _numbers(small) == [1, 2, 3, 4, 5, 6]
    told = _read(small)[-1].lines[-1]
    assert told.stream == log_pb2.STREAM_SYSTEM
    assert "5 lines" in told.text
    small.archive_logs([_lines(1, path="other")])
    assert len(_read(small, path="other")) == 1


def test_a_lease_is_cut_at_its_bytes_too(small: Store) -> None:
    record = _lines(1, 2)
    record.lines[0].text = "ü" * 29
    small.archive_logs([record])
    kept, told = _read(small)[0].lines
    assert kept.text == "ü" * 29
    assert "58 bytes" in told.text


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
