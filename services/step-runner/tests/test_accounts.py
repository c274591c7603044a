"""Slots and batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaon_runner.batching import Batch
from kaon_runner.bootstrap import capacity_of
from kaon_runner.settings import Settings
from kaon_runner.slots import Amount, Slots
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


def test_a_batch_leaves_at_once_when_nothing_left_before() -> None:
    batch = Batch[int](window=0.003)
    batch.add(1)
    assert batch.due(100.0) == 0.0


def test_after_a_full_departure_the_next_waits_for_the_window() -> None:
    batch = Batch[int](window=0.004)
    for number in range(Batch.LOADED):
        batch.add(number)
    assert batch.depart(100.0) == list(range(Batch.LOADED))
    batch.add(99)
    due = batch.due(100.001)
    assert due is not None
    assert 0.0029 < due < 0.0031
    assert batch.due(100.005) == 0.0


def test_after_a_lone_departure_the_next_hardly_waits() -> None:
    batch = Batch[int](window=0.004)
    batch.add(1)
    batch.depart(100.0)
    batch.add(2)
    due = batch.due(100.0)
    assert due is not None
    assert due < 0.0003


def test_a_batch_at_its_limit_leaves_at_once() -> None:
    batch = Batch[int](window=10.0, limit=20)
    for number in range(20):
        batch.add(number)
    batch.depart(0.0)
    for number in range(19):
        batch.add(number)
    assert batch.due(0.0) != 0.0
    batch.add(19)
    assert batch.due(0.0) == 0.0


def test_an_empty_batch_has_nothing_due() -> None:
    assert Batch[int]().due(0.0) is None


def test_a_departure_carries_no_more_than_its_weight_limit() -> None:
    batch = Batch[str](weight_limit=100)
    for name in "abc":
        batch.add(name, 60)
    batch.add("d", 500)
    assert [batch.depart(0.0) for _ in range(4)] == [["a"], ["b"], ["c"], ["d"]]
    assert len(batch) == 0
