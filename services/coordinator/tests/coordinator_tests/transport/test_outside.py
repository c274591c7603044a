"""A process that owns no partitions sends what others are given, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon_coordinator.settings import settings_from
from kaon_coordinator.transport.base import Send
from kaon_coordinator.transport.offsets import EndOffsets
from kaon_coordinator.transport.outside import OutsideTransport
from kaon_wire.errors import InvalidValue, Unavailable
from kaon_wire.topics import RUN_COMMANDS, Catalogue

from .backends import CATALOGUE, KafkaBackend, Recorder, broker_in

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncIterator[KafkaBackend]:
    broker = broker_in(tmp_path)
    backend = KafkaBackend(broker)
    try:
        yield backend
    finally:
        await backend.close()
        broker.stop()


async def test_it_sends_and_is_given_nothing(kafka: KafkaBackend) -> None:
    outside = OutsideTransport(kafka.broker.address, catalogue=CATALOGUE)
    apart, member, recorder = Recorder(), kafka.member(), Recorder()
    await outside.start(apart)
    await member.start(recorder)
    try:
        await recorder.until(lambda: (RUN_COMMANDS, 3) in recorder.owned)
        await outside.send([Send(topic=RUN_COMMANDS, partition=3, value=b"wake up")])
        await recorder.until(lambda: bool(recorder.records))
        assert await outside.end_offsets([(RUN_COMMANDS, 3)]) == {(RUN_COMMANDS, 3): 1}
        assert outside.connected
    finally:
        await outside.stop()
    await asyncio.wait_for(outside.failed(), 10)
    assert (apart.owned, apart.records) == (set(), [])


async def test_it_ends_when_it_can_no_longer_tell_whether_the_broker_is_there(
    kafka: KafkaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(self: EndOffsets, partitions: object) -> object:
        raise OSError("too many open files")

    outside = OutsideTransport(kafka.broker.address, catalogue=CATALOGUE)
    await outside.start(Recorder())
    monkeypatch.setattr(EndOffsets, "get", get)
    try:
        with pytest.raises(OSError, match="too many open files"):
            await asyncio.wait_for(outside.failed(), 60)
    finally:
        await outside.stop()


async def test_another_number_of_partitions_is_refused(kafka: KafkaBackend) -> None:
    other = Catalogue(run_partitions=16, pool_partitions=4)
    with pytest.raises(Unavailable, match=r"run-commands has 8 partitions .* but 16"):
        await OutsideTransport(kafka.broker.address, catalogue=other).start(Recorder())


def test_the_setting_is_on_or_off() -> None:
    assert [settings_from(env).api_only for env in ({}, {"KAON_API_ONLY": "on"})] == [False, True]
    with pytest.raises(InvalidValue, match="KAON_API_ONLY: 'yes' is neither 'on' nor 'off'"):
        settings_from({"KAON_API_ONLY": "yes"})
