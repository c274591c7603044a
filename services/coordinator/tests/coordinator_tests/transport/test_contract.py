"""What every transport guarantees, tried on memory and on a real broker."""

from __future__ import annotations

import asyncio

import pytest

from kaon_coordinator.transport.assignments import check_assignment
from kaon_coordinator.transport.base import GROUP_TOPICS, Incoming, Send
from kaon_wire.errors import Unavailable
from kaon_wire.topics import RUN_COMMANDS, RUN_EVENTS, STEP_EVENTS, STEP_REQUESTS, dead_letters

from .backends import CATALOGUE, PATIENCE, Backend, Recorder

ALL = {
    (topic, number) for topic in GROUP_TOPICS for number in range(CATALOGUE.partitions_of(topic))
}


def numbered(topic: str, count: int, start: int = 0) -> list[Send]:
    """Records dealt out to the partitions of a topic, each with its number."""
    partitions = CATALOGUE.partitions_of(topic)
    return [
        Send(topic=topic, partition=number % partitions, value=b"%d" % number)
        for number in range(start, start + count)
    ]


def pair() -> tuple[Recorder, Recorder]:
    """Two handlers; what happens to either wakes whoever waits for one of them."""
    one = Recorder()
    return one, Recorder(changed=one.changed)


async def joined(backend: Backend, recorder: Recorder) -> None:
    await backend.member().start(recorder)
    await recorder.until(lambda: recorder.owned == ALL)


async def test_a_single_member_owns_everything_and_hears_of_it_in_the_order_of_the_topics(
    backend: Backend,
) -> None:
    recorder = Recorder()

    await joined(backend, recorder)

    assert recorder.calls == [f"assigned {topic}" for topic in GROUP_TOPICS]


async def test_records_of_a_partition_arrive_in_order_and_complete(backend: Backend) -> None:
    recorder = Recorder()
    await joined(backend, recorder)

    await backend.produce(numbered(STEP_EVENTS, 2000))
    await recorder.until(lambda: len(recorder.records) >= 2000)

    assert len(recorder.records) == 2000
    for partition in range(8):
        assert recorder.values(STEP_EVENTS, partition) == [
            b"%d" % n for n in range(partition, 2000, 8)
        ]


async def test_what_was_sent_before_the_first_member_joined_is_delivered(backend: Backend) -> None:
    recorder = Recorder()
    await backend.produce(numbered(RUN_COMMANDS, 16))

    await joined(backend, recorder)
    await recorder.until(lambda: len(recorder.records) >= 16)

    assert sorted(int(record.value) for record in recorder.records) == list(range(16))


async def test_a_record_says_where_it_was_and_when(backend: Backend) -> None:
    recorder = Recorder()
    await joined(backend, recorder)

    await backend.produce([Send(topic=STEP_REQUESTS, partition=3, value=b"hello")])
    await recorder.until(lambda: bool(recorder.records))

    (record,) = recorder.records
    assert (record.topic, record.partition, record.offset) == (STEP_REQUESTS, 3, 0)
    assert record.timestamp_ms > 1_700_000_000_000


async def test_a_failing_handler_ends_the_transport_and_its_records_come_again(
    backend: Backend,
) -> None:
    def fail(records: object) -> None:
        raise RuntimeError("the database is full")

    broken = Recorder(before=fail)
    member = backend.member()
    await member.start(broken)
    await backend.produce(numbered(STEP_EVENTS, 100))

    with pytest.raises(RuntimeError, match="the database is full"):
        await asyncio.wait_for(member.failed(), PATIENCE)
    await member.stop()

    recorder = Recorder()
    await joined(backend, recorder)
    await recorder.until(lambda: len(recorder.records) >= 100)
    assert sorted(int(record.value) for record in recorder.records) == list(range(100))


async def test_what_was_applied_before_an_orderly_stop_does_not_come_again(
    backend: Backend,
) -> None:
    first, second = pair()
    member = backend.member()
    await member.start(first)
    await backend.produce(numbered(STEP_EVENTS, 100))
    await first.until(lambda: len(first.records) >= 100)

    await member.stop()
    await joined(backend, second)
    await backend.produce(numbered(STEP_EVENTS, 100, start=100))
    await second.until(lambda: len(second.records) >= 100)

    assert sorted(int(record.value) for record in second.records) == list(range(100, 200))


async def test_two_members_share_all_partitions_and_what_belongs_together_stays_together(
    backend: Backend,
) -> None:
    one, two = pair()
    await joined(backend, one)

    await backend.member().start(two)
    await two.until(lambda: bool(two.owned))
    await one.until(lambda: not one.owned & two.owned and one.owned | two.owned == ALL)

    check_assignment(one.owned)
    check_assignment(two.owned)
    assert (
        {topic for topic, _ in one.owned} == set(GROUP_TOPICS) == {topic for topic, _ in two.owned}
    )


async def test_nothing_is_lost_and_order_holds_while_members_come_and_go(backend: Backend) -> None:
    one, two = pair()
    await joined(backend, one)
    await backend.produce(numbered(STEP_EVENTS, 800))

    second = backend.member()
    await second.start(two)
    await two.until(lambda: bool(two.owned))
    await backend.produce(numbered(STEP_EVENTS, 800, start=800))
    await two.until(lambda: bool(two.records))
    await second.stop()
    await one.until(lambda: one.owned == ALL)
    await backend.produce(numbered(STEP_EVENTS, 800, start=1600))
    await one.until(
        lambda: len({r.value for r in one.records} | {r.value for r in two.records}) == 2400
    )

    for recorder in (one, two):
        for partition in range(8):
            values = [int(value) for value in recorder.values(STEP_EVENTS, partition)]
            # What was not committed when a partition was given up comes again.
            first_arrivals = list(dict.fromkeys(values))
            assert first_arrivals == sorted(first_arrivals)


async def test_the_remaining_member_takes_over_what_a_stopped_one_owned(backend: Backend) -> None:
    one, two = pair()
    first = backend.member()
    await first.start(one)
    await one.until(lambda: one.owned == ALL)
    await backend.member().start(two)
    await two.until(lambda: bool(two.owned))

    await first.stop()
    await two.until(lambda: two.owned == ALL)


async def test_end_offsets_count_what_was_acknowledged(backend: Backend) -> None:
    member, recorder = backend.member(), Recorder()
    await member.start(recorder)

    await member.send([Send(topic=STEP_EVENTS, partition=1, value=b"a")] * 3)

    ends = await member.end_offsets([(STEP_EVENTS, 0), (STEP_EVENTS, 1)])
    assert ends == {(STEP_EVENTS, 0): 0, (STEP_EVENTS, 1): 3}


async def test_sends_keep_their_order_within_a_partition(backend: Backend) -> None:
    member, recorder = backend.member(), Recorder()
    await member.start(recorder)

    await member.send([Send(topic=RUN_EVENTS, partition=0, value=b"%d" % n) for n in range(500)])

    letters = await backend.letters(RUN_EVENTS, 500)
    assert [letter.value for letter in letters] == [b"%d" % n for n in range(500)]


async def test_a_send_that_cannot_be_delivered_is_an_error(backend: Backend) -> None:
    member, recorder = backend.member(), Recorder()
    await member.start(recorder)

    with pytest.raises(Unavailable, match="no partition 99"):
        await member.send([Send(topic=STEP_EVENTS, partition=99, value=b"a")])


async def test_a_quarantined_record_keeps_its_bytes_and_says_why_and_where_from(
    backend: Backend,
) -> None:
    member, recorder = backend.member(), Recorder()
    await member.start(recorder)
    poison = Incoming(topic=STEP_EVENTS, partition=5, offset=7, timestamp_ms=1, value=b"\xff\x00")

    await member.quarantine(poison, "not a step-events message")

    (letter,) = await backend.letters(dead_letters(STEP_EVENTS), 1)
    assert letter.value == b"\xff\x00"
    assert letter.headers["kaon-reason"] == b"not a step-events message"
    assert (letter.headers["kaon-partition"], letter.headers["kaon-offset"]) == (b"5", b"7")


async def test_a_handler_that_fails_while_it_takes_partitions_over_ends_the_transport(
    backend: Backend,
) -> None:
    class Broken(Recorder):
        async def on_assigned(self, topic: str, partitions: object) -> None:  # type: ignore[override]
            raise RuntimeError("cannot take over")

    member = backend.member()
    await member.start(Broken())

    with pytest.raises(RuntimeError, match="cannot take over"):
        await asyncio.wait_for(member.failed(), PATIENCE)


async def test_a_started_member_is_connected_and_stopping_twice_is_harmless(
    backend: Backend,
) -> None:
    member, recorder = backend.member(), Recorder()
    await member.start(recorder)
    assert member.connected
    assert member.trouble == ""

    await member.stop()
    await member.stop()
    await member.failed()
