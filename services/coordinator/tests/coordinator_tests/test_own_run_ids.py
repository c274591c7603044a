"""Ids of runs that fall on a partition of the process that makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pytest

from kaon_coordinator.ids import new_run_id, new_run_id_in
from kaon_coordinator.own_run_ids import MOMENT_US, MOST_CPU, MOST_RUNS, OwnRunIds
from kaon_wire.partitioning import partition_of

NOW_US = 1_700_000_000 * MOMENT_US
PARTITIONS = 8


class Process:
    """A coordinator as far as ids ask it."""

    def __init__(self, *owned: int, partitions: int = PARTITIONS) -> None:
        self.owned: Collection[int] = owned
        self.cpu = 5.0
        self.partitions = partitions
        self._ids = OwnRunIds(partitions=partitions, owned=lambda: self.owned, cpu=lambda: self.cpu)

    def submit(self, now_us: int, runs: int) -> Counter[int]:
        """Return how many of so many runs fall on each partition."""
        ids = [self._ids(now_us) for _ in range(runs)]
        assert len(set(ids)) == runs
        return Counter(partition_of(run_id, self.partitions) for run_id in ids)


def test_runs_of_a_moment_fall_on_one_own_partition_and_those_of_the_next_on_another() -> None:
    process = Process(6, 1, 4)
    found = [process.submit(NOW_US + number * MOMENT_US, MOST_RUNS) for number in range(6)]
    assert [len(each) for each in found] == [1] * 6
    assert sum(found, Counter()) == {1: 2 * MOST_RUNS, 4: 2 * MOST_RUNS, 6: 2 * MOST_RUNS}


def test_a_process_keeps_so_many_runs_of_a_moment_and_spreads_the_others() -> None:
    process = Process(1, 4)
    process.submit(NOW_US, MOST_RUNS)
    assert set(process.submit(NOW_US, 1_000)) == set(range(PARTITIONS))
    assert len(process.submit(NOW_US + MOMENT_US, MOST_RUNS)) == 1


@pytest.mark.parametrize(("part", "spreads"), [(MOST_CPU + 0.05, True), (MOST_CPU - 0.05, False)])
def test_a_process_without_cpu_to_spare_spreads_its_runs_until_it_has_some(
    part: float, spreads: bool
) -> None:
    process = Process(1, 4)
    process.submit(NOW_US, 1)
    process.cpu += 2 * part
    assert (len(process.submit(NOW_US + 2 * MOMENT_US, 100)) > 1) == spreads
    assert len(process.submit(NOW_US + 3 * MOMENT_US, 100)) == 1


def test_who_owns_all_partitions_keeps_all_runs() -> None:
    process = Process(*range(PARTITIONS))
    process.submit(NOW_US, 1)
    process.cpu += 10
    assert process.submit(NOW_US + MOMENT_US, 5 * MOST_RUNS).total() == 5 * MOST_RUNS
    assert len(process.submit(NOW_US + MOMENT_US, 5 * MOST_RUNS)) == 1


def test_who_owns_nothing_spreads_its_runs_and_partitions_may_be_taken_away() -> None:
    process = Process()
    assert set(process.submit(NOW_US, 1_000)) == set(range(PARTITIONS))
    process.owned = (3,)
    assert set(process.submit(NOW_US + MOMENT_US, MOST_RUNS)) == {3}
    process.owned = (5,)
    assert set(process.submit(NOW_US + 2 * MOMENT_US, MOST_RUNS)) == {5}


@pytest.mark.parametrize("partitions", [1, 2, 3, 8, 30, 64])
def test_there_is_an_id_for_each_partition(partitions: int) -> None:
    for partition in range(partitions):
        for _ in range(20):
            run_id = new_run_id_in(partition, partitions, NOW_US)
            assert partition_of(run_id, partitions) == partition
            assert len(run_id) == 26


def test_an_id_for_a_partition_has_the_time_of_any_other_and_is_drawn() -> None:
    found = {new_run_id_in(2, PARTITIONS, NOW_US) for _ in range(1_000)}
    assert len(found) == 1_000
    assert len({run_id[-2:] for run_id in found}) > 400
    # The milliseconds are in the first ten digits.
    assert {run_id[:10] for run_id in found} == {new_run_id(NOW_US)[:10]}
    # Of more partitions than there are pairs of digits not every one is to be had.
    assert len(new_run_id_in(9_999, 100_000, NOW_US)) == 26
