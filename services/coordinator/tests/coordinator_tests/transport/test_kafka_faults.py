"""Kills and outages, with a real broker and real processes."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kaon_coordinator.transport.base import Send
from kaon_coordinator.transport.faust import FaustSettings, FaustTransport
from kaon_coordinator.transport.reader import Reader
from kaon_local.ports import free_port
from kaon_wire.errors import Unavailable
from kaon_wire.topics import RUN_EVENTS, STEP_EVENTS, Catalogue

from . import consumer_child
from .backends import CATALOGUE, KafkaBackend, Recorder
from .test_contract import joined, numbered

pytestmark = pytest.mark.real

COUNT = 8_000
OUTSIDE = 4.0


@pytest.fixture
async def new_child(kafka: KafkaBackend, tmp_path: Path) -> AsyncIterator[Callable[[str], Child]]:
    """Makes consumer processes that do not outlive the test."""
    children: list[Child] = []

    def make(name: str) -> Child:
        children.append(Child(kafka, tmp_path / name))
        return children[-1]

    yield make
    for child in children:
        await child.kill()


class Child:
    """A consumer process and the file that it applies records to."""

    def __init__(self, kafka: KafkaBackend, path: Path) -> None:
        self.path = path
        self.assigned = False
        # (partition, offset, value), in the order of the application.
        self.applied: list[tuple[int, int, int]] = []
        self.values: set[int] = set()
        self._read = 0
        self._kafka = kafka
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        counts = (str(CATALOGUE.run_partitions), str(CATALOGUE.pool_partitions))
        arguments = (consumer_child.__file__, self._kafka.broker.address, str(self.path), *counts)
        self._process = await asyncio.create_subprocess_exec(sys.executable, *arguments)

    async def kill(self) -> None:
        """SIGKILL; nothing happens when it does not run."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def look(self) -> None:
        """Reads what has been written since the last time: all of it, again and again, would cost more than what is tested."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        new = new[: new.rfind(b"\n") + 1]
        self._read += len(new)
        for line in new.split(b"\n")[:-1]:
            words = line.split()
            if words[0] in {b"assigned", b"revoked"}:
                self.assigned = True
            else:
                partition, offset, value = map(int, words)
                self.applied.append((partition, offset, value))
                self.values.add(value)


async def eventually(
    condition: Callable[[], bool], *children: Child, seconds: float = 60.0
) -> None:
    """Waits for what other processes do to their files; there is no event to wait for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
        for child in children:
            child.look()


async def test_nothing_is_lost_when_a_member_is_killed_again_and_again(
    kafka: KafkaBackend, new_child: Callable[[str], Child]
) -> None:
    child = new_child("applied")
    await kafka.produce(numbered(STEP_EVENTS, COUNT))
    for kill in range(4):
        await child.start()
        goal = (kill + 1) * COUNT // 8
        await eventually(lambda goal=goal: len(child.applied) > goal, child)  # type: ignore[misc]
        await child.kill()

    await child.start()
    await eventually(lambda: len(child.values) == COUNT, child)

    # The first application of each record is in the order of its partition.
    seen: dict[int, int] = defaultdict(lambda: -1)
    for partition, offset, _ in child.applied:
        assert offset <= seen[partition] + 1
        seen[partition] = max(seen[partition], offset)


async def test_the_other_member_goes_on_when_one_is_killed(
    kafka: KafkaBackend, new_child: Callable[[str], Child]
) -> None:
    children = [new_child("one"), new_child("two")]
    for child in children:
        await child.start()
    await eventually(lambda: all(child.assigned for child in children), *children)
    await kafka.produce(numbered(STEP_EVENTS, COUNT // 2))
    await eventually(lambda: all(child.applied for child in children), *children)

    await children[0].kill()
    killed = time.monotonic()
    await kafka.produce(numbered(STEP_EVENTS, COUNT // 2, start=COUNT // 2))
    await eventually(lambda: len(children[0].values | children[1].values) == COUNT, *children)

    # The session of 3 s runs out; the rest is a slow machine's. A group that waited for the dead member would take minutes.
    assert time.monotonic() - killed < 3.0 + 20.0


async def test_nothing_is_lost_when_the_broker_is_killed_and_started_again(
    kafka: KafkaBackend,
) -> None:
    recorder = Recorder()
    await joined(kafka, recorder)
    await kafka.produce(numbered(STEP_EVENTS, 2000))

    sending = asyncio.create_task(_send_in_parts(kafka))
    await recorder.until(lambda: len(recorder.records) > 3000)
    kafka.broker.kill()
    await asyncio.to_thread(kafka.broker.start)
    await sending
    await recorder.until(lambda: len({record.value for record in recorder.records}) == COUNT)

    for partition in range(8):
        first_seen = list(
            dict.fromkeys(int(value) for value in recorder.values(STEP_EVENTS, partition))
        )
        assert first_seen == list(range(partition, COUNT, 8))


async def _send_in_parts(kafka: KafkaBackend) -> None:
    for start in range(2000, COUNT, 200):
        await kafka.produce(numbered(STEP_EVENTS, 200, start=start))


async def test_a_send_outlasts_a_broker_that_is_away_for_more_than_30_seconds(
    kafka: KafkaBackend,
) -> None:
    member, recorder = kafka.member(), Recorder()
    await member.start(recorder)
    await recorder.until(lambda: bool(recorder.owned))
    kafka.broker.kill()

    sending = asyncio.create_task(
        member.send([Send(topic=RUN_EVENTS, partition=0, value=b"%d" % n) for n in range(100)])
    )
    asking = asyncio.create_task(member.end_offsets([(RUN_EVENTS, 1)]))
    await asyncio.sleep(33)
    assert not sending.done()
    assert not member.connected
    assert member.trouble.startswith("not heard for ")
    await asyncio.to_thread(kafka.broker.start)
    await sending

    assert await asking == {(RUN_EVENTS, 1): 0}
    assert member.connected
    assert member.trouble == ""
    letters = await kafka.letters(RUN_EVENTS, 100)
    assert [letter.value for letter in letters] == [b"%d" % n for n in range(100)]
    # The group comes back too.
    await kafka.produce(numbered(STEP_EVENTS, 8))
    await recorder.until(lambda: len(recorder.records) == 8)


async def test_stopping_is_bounded_when_the_broker_is_away(kafka: KafkaBackend) -> None:
    member, recorder = kafka.member(), Recorder()
    await member.start(recorder)
    await recorder.until(lambda: bool(recorder.owned))
    kafka.broker.kill()

    began = time.monotonic()
    await member.stop()

    # Eight seconds are given to what Faust has to end; on a loaded machine the rest takes its time, too.
    assert time.monotonic() - began < 40


def impatient(kafka: KafkaBackend) -> FaustTransport:
    """A member that ends when nothing is heard or read for OUTSIDE seconds."""
    settings = FaustSettings(heartbeat=0.5, outside=OUTSIDE, stop=1.0)
    return FaustTransport(kafka.broker.address, catalogue=CATALOGUE, settings=settings)


async def test_a_member_that_its_group_does_not_hear_ends_although_the_broker_answers(
    kafka: KafkaBackend,
) -> None:
    member, recorder = impatient(kafka), Recorder()
    await member.start(recorder)
    await recorder.until(lambda: bool(recorder.owned))
    # What heartbeats answer counts: a quiet group is well.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(member.failed(), 2 * OUTSIDE)

    standstill = threading.Event()
    consumer = member._app.consumer._thread
    consumer.thread_loop.call_soon_threadsafe(standstill.wait, 60)
    try:
        with pytest.raises(Unavailable, match="has not heard this member for 4 s"):
            await asyncio.wait_for(member.failed(), 4 * OUTSIDE)
        assert member.connected
    finally:
        standstill.set()
        await member.stop()


async def test_a_member_that_does_not_read_ends_although_its_group_hears_it(
    kafka: KafkaBackend,
) -> None:
    member, recorder = impatient(kafka), Recorder()
    await member.start(recorder)
    await kafka.produce(numbered(STEP_EVENTS, 1))
    await recorder.until(lambda: bool(recorder.records))

    # Its thread waits for this lock before each turn.
    with member._app.consumer._reader._room:
        with pytest.raises(Unavailable, match="has not asked for records for 4 s"):
            await asyncio.wait_for(member.failed(), 4 * OUTSIDE)
        assert member.connected
    await member.stop()


async def test_a_member_that_gets_nothing_of_what_is_there_ends_although_it_asks(
    kafka: KafkaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, recorder = impatient(kafka), Recorder()
    await member.start(recorder)
    await kafka.produce(numbered(STEP_EVENTS, 8))
    await recorder.until(lambda: len(recorder.records) == 8)
    # Who has read everything is well.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(member.failed(), 2 * OUTSIDE)

    # The client fetches nothing, and says nothing.
    monkeypatch.setattr(Reader, "_is_record", lambda self, message: False)
    await kafka.produce(numbered(STEP_EVENTS, 1))
    with pytest.raises(
        Unavailable, match="step-events/0 has records up to offset 2, and none from"
    ):
        await asyncio.wait_for(member.failed(), 4 * OUTSIDE)
    assert member.connected
    await member.stop()


async def test_a_record_that_the_broker_refuses_is_an_error_at_once(kafka: KafkaBackend) -> None:
    member, recorder = kafka.member(), Recorder()
    await member.start(recorder)

    with pytest.raises(Unavailable, match="refused a record of 2000000 bytes"):
        await member.send([Send(topic=RUN_EVENTS, partition=0, value=bytes(2_000_000))])


async def test_starting_without_a_broker_says_so() -> None:
    port = free_port()

    with pytest.raises(Unavailable, match=f"no broker answers at 127.0.0.1:{port}"):
        await FaustTransport(f"127.0.0.1:{port}", catalogue=CATALOGUE).start(Recorder())


async def test_partition_counts_that_differ_from_the_configuration_are_refused(
    kafka: KafkaBackend,
) -> None:
    other = Catalogue(run_partitions=16, pool_partitions=4)

    with pytest.raises(Unavailable, match="topic run-commands has 8 partitions"):
        await FaustTransport(kafka.broker.address, catalogue=other).start(Recorder())
