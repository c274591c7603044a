"""Topics read from positions that others keep, on both backends."""

from __future__ import annotations

import pytest

from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaon_wire.errors import NotFound, Unavailable

from .backends import Backend, KafkaBackend

TOPIC = topics.RUN_EVENTS


def _sends(*texts: str) -> list[Send]:
    """Records, by turns in two partitions."""
    return [
        Send(topic=TOPIC, partition=number % 2, value=text.encode())
        for number, text in enumerate(texts)
    ]


async def test_records_are_read_from_the_positions_that_are_given(backend: Backend) -> None:
    source = backend.records()
    try:
        await backend.produce(_sends("old", "old"))
        first = await source.fetch(TOPIC, {}, 10)
        assert list(first.records) == []
        assert (first.positions[0], first.positions[1]) == (1, 1)
        await backend.produce(_sends("a", "b", "c"))
        second = await source.fetch(TOPIC, first.positions, 10)
        # Partitions may be read one after the other.
        while len(second.records) < 3:
            more = await source.fetch(TOPIC, second.positions, 10)
            second = type(second)(
                records=[*second.records, *more.records], positions=more.positions
            )
        assert sorted(each.value for each in second.records) == [b"a", b"b", b"c"]
        assert (second.positions[0], second.positions[1]) == (3, 2)
        in_first = [each for each in second.records if each.partition == 0]
        assert [each.offset for each in in_first] == [1, 2]
        assert all(each.time_us > 0 for each in second.records)
        again = await source.fetch(TOPIC, first.positions, 10)
        assert again.records, "nothing is committed: the same positions give the same records"
        nothing = await source.fetch(TOPIC, second.positions, 10)
        assert (list(nothing.records), nothing.positions) == ([], second.positions)
        with pytest.raises(NotFound, match="nowhere"):
            await source.fetch("nowhere", {}, 10)
    finally:
        await source.close()


@pytest.mark.real
async def test_a_broker_that_is_away_is_told_and_found_again(kafka: KafkaBackend) -> None:
    source = kafka.records()
    try:
        first = await source.fetch(TOPIC, {}, 10)
        kafka.broker.stop()
        with pytest.raises(Unavailable, match=TOPIC):
            await source.fetch(TOPIC, first.positions, 10)
        kafka.broker.start()
        await kafka.produce(_sends("new"))
        found = await source.fetch(TOPIC, first.positions, 10)
        assert [each.value for each in found.records] == [b"new"]
    finally:
        await source.close()
