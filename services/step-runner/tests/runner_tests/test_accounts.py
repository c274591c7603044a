"""Slots and batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon_runner.composition import capacity_of
from kaon_runner.errors import InvalidSettings
from kaon_runner.leases.slots import Amount, Slots
from kaon_runner.outbox.batching import Batch, Departures
from kaon_runner.settings import Settings
from kaonapi.workflow.v1 import definition_pb2

amounts = st.builds(
    Amount,
    slots=st.integers(1, 3),
    cpu_milli=st.integers(0, 2000),
    gpu=st.integers(0, 1),
    custom=st.dictionaries(st.sampled_from(["licence", "seat"]), st.integers(1, 2)),
)


@given(st.lists(amounts, max_size=20))
def test_no_more_is_taken_than_there_is(wanted: list[Amount]) -> None:
    slots = Slots(Amount(slots=4, cpu_milli=3000, gpu=1, custom={"licence": 3}))
    claims = [claim for one in wanted if (claim := slots.take(one)) is not None]
    assert slots.taken.within(slots.capacity)
    for claim in claims:
        slots.give_back(claim)
    assert slots.taken == Amount()


def test_a_step_occupies_one_slot_unless_it_says_otherwise() -> None:
    assert Amount.wanted(definition_pb2.Resources()).slots == 1
    assert Amount.wanted(definition_pb2.Resources(slots=3)).slots == 3


def test_what_does_not_fit_is_said_in_words() -> None:
    excess = Amount(slots=1, gpu=2).excess(Amount(slots=4, gpu=0))
    assert excess == "2 GPUs of 0"
    excess = Amount(custom={"licence": 2}).excess(Amount(custom={"licence": 1}))
    assert excess == "2 licence of 1"


def test_countable_resources_are_told_as_they_are_set() -> None:
    settings = Settings.from_env({"KAON_RESOURCES": "licence=2,seat=1"})
    assert dict(capacity_of(settings).message().custom) == {"licence": 2, "seat": 1}


def test_a_runner_is_of_a_pool_that_can_be_named() -> None:
    assert Settings.from_env({"KAON_POOL": "gpu_a100"}).pool == "gpu_a100"
    with pytest.raises(InvalidSettings, match="KAON_POOL: 'a b' is no name of a pool: use letters"):
        Settings.from_env({"KAON_POOL": "a b"})


def test_a_lone_step_is_reported_at_once() -> None:
    departures = Departures(window=0.005, share=0.001)
    assert departures.due(100.0, others=0) == 100.0
    departures.depart()
    assert departures.due(100.0001, others=0) == 100.0001


def test_under_load_reports_wait_for_each_other_and_never_longer_than_the_window() -> None:
    departures = Departures(window=0.005, share=0.001)
    assert departures.due(100.0, others=50) == pytest.approx(100.005)
    assert departures.due(100.0001, others=2) == pytest.approx(100.002)
    assert departures.due(100.0070, others=50) == 100.0070
    departures.depart()
    assert departures.due(100.0080, others=3) == pytest.approx(100.011)


def test_when_no_other_step_is_left_what_has_waited_for_it_leaves() -> None:
    departures = Departures(window=0.005, share=0.001)
    assert departures.due(100.0, others=1) == pytest.approx(100.001)
    assert departures.due(100.0005, others=0) == 100.0005


def test_a_batch_is_full_at_its_limits() -> None:
    batch = Batch[int](limit=2, weight_limit=100)
    batch.add(1, 40)
    assert not batch.is_full
    batch.add(2, 10)
    assert batch.is_full
    assert batch.depart() == [1, 2]
    batch.add(3, 100)
    assert batch.is_full


def test_a_departure_carries_no_more_than_its_weight_limit() -> None:
    batch = Batch[str](weight_limit=100)
    for name in "abc":
        batch.add(name, 60)
    batch.add("d", 500)
    assert [batch.depart() for _ in range(4)] == [["a"], ["b"], ["c"], ["d"]]
    assert len(batch) == 0
