"""Whom the lag watch gives up: a reader that gets nothing of what is there, and nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from kaon_coordinator.transport.base import TopicPartition
from kaon_coordinator.transport.lag_watch import LagWatch
from kaon_wire.errors import Unavailable
from kaon_wire.topics import RUN_COMMANDS, STEP_EVENTS

EVENTS, COMMANDS = (STEP_EVENTS, 1), (RUN_COMMANDS, 0)


class StubReader:
    def __init__(self) -> None:
        self.has_room = True
        self.positions: dict[TopicPartition, int | None] = {EVENTS: 5, COMMANDS: None}


class StubBroker:
    """Answers with what it has, or not."""

    def __init__(self) -> None:
        self.ends = {EVENTS: 5, COMMANDS: 0}
        self.firsts = {EVENTS: 0, COMMANDS: 0}
        self.away: set[str] = set()

    async def get(self, asked: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._answer("ends", self.ends, asked)

    async def first(self, asked: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._answer("firsts", self.firsts, asked)

    def _answer(self, what: str, found: dict[Any, int], asked: Iterable[Any]) -> dict[Any, int]:
        if what in self.away:
            raise Unavailable("no broker")
        return {key: found[key] for key in asked}


class Watched:
    def __init__(self) -> None:
        self.reader: StubReader | None = StubReader()
        self.broker = StubBroker()
        self._watch = LagWatch(lambda: self.reader, self.broker, patience=10)  # type: ignore[arg-type]

    async def look(self, times: int) -> None:
        for _ in range(times):
            await self._watch.look(5)


@pytest.fixture
def watched() -> Watched:
    return Watched()


async def test_a_reader_that_has_read_everything_may_rest(watched: Watched) -> None:
    await watched.look(10)


@pytest.mark.parametrize("key", [EVENTS, COMMANDS])
async def test_a_reader_that_gets_nothing_of_what_is_there_is_given_up(
    watched: Watched, key: TopicPartition
) -> None:
    watched.broker.ends[key] += 3
    # The first look finds the reader, the second one that it is behind.
    await watched.look(3)

    with pytest.raises(Unavailable, match=f"{key[0]}/{key[1]} has records .* was read for 10 s"):
        await watched.look(1)


async def test_a_reader_that_goes_on_is_not_given_up_however_far_it_is_behind(
    watched: Watched,
) -> None:
    watched.broker.ends[EVENTS] = 1_000
    assert watched.reader is not None
    for at in range(10):
        watched.reader.positions[EVENTS] = at
        await watched.look(2)


async def test_a_reader_that_waits_for_room_is_not_behind(watched: Watched) -> None:
    watched.broker.ends[EVENTS] = 8
    assert watched.reader is not None
    for _ in range(5):
        watched.reader.has_room = False
        await watched.look(1)
        watched.reader.has_room = True
        await watched.look(2)


async def test_a_reader_is_not_blamed_for_the_one_before_nor_for_a_rebalance(
    watched: Watched,
) -> None:
    watched.broker.ends[EVENTS] = 8
    for _ in range(5):
        watched.reader = StubReader()
        await watched.look(3)
        watched.reader = None
        await watched.look(3)


async def test_nobody_is_behind_while_the_broker_is_away(watched: Watched) -> None:
    watched.broker.ends[EVENTS] = 8
    for what in ("ends", "firsts", "ends"):
        await watched.look(2)
        watched.broker.away = {what}
        await watched.look(3)
        watched.broker.away = {"ends"}
        await watched.look(1)
        watched.broker.away = set()


async def test_what_was_deleted_need_not_be_read(watched: Watched) -> None:
    watched.broker.ends[EVENTS] = watched.broker.firsts[EVENTS] = 8
    watched.broker.ends[COMMANDS] = watched.broker.firsts[COMMANDS] = 8
    await watched.look(10)
