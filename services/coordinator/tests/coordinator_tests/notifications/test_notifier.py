"""Delivery, and what follows when a channel does not accept a message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kaon_coordinator.notifications.channel import Channel, Message
from kaon_coordinator.notifications.channels import Channels
from kaon_coordinator.notifications.notifier import Notifier
from kaon_coordinator.store.base import Notice, Store
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_telemetry.metrics import CoordinatorMetrics

from ..store.build import batch, submitted

DAY_US = 86_400_000_000


@dataclass(kw_only=True)
class Recorder(Channel):
    """A channel that keeps what it accepts."""

    got: list[Message] = field(default_factory=list)
    problem: str = ""
    tried: int = 0
    # Released for each that it accepts.
    heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def deliver(self, message: Message) -> None:
        self.tried += 1
        if self.problem:
            raise OSError(self.problem)
        self.got.append(message)
        self.heard.release()


@dataclass(kw_only=True)
class Clock:
    now_us: int = 1_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"sqlite:///{tmp_path}/kaon.db")


@pytest.fixture
async def thread(store: Store) -> AsyncIterator[StoreThread]:
    thread = StoreThread(store)
    yield thread
    await thread.close()


def told(store: Store, *seqs: int, channel: str = "ops") -> None:
    """Notices in the outbox."""
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    payload = '{"occasion":"failed","run_id":"01run","workflow":"forecast"}'
    notices = [
        Notice(
            tenant="default",
            run_id=run.run_id,
            seq=seq,
            channel=channel,
            payload=payload,
            time_us=1_000,
        )
        for seq in seqs
    ]
    store.commit(replace(batch(epoch, run, first=1, last=2), notices=notices))


def notifier(
    thread: StoreThread, channel: Channel, clock: Clock, *, strict: bool = True
) -> tuple[Notifier, CollectorRegistry]:
    registry = CollectorRegistry()
    channels = Channels(by_name={"ops": channel}, console="https://k", strict=strict)
    return Notifier(thread, channels, clock, CoordinatorMetrics(registry)), registry


async def test_what_a_commit_adds_is_delivered_once(store: Store, thread: StoreThread) -> None:
    channel, clock = Recorder(), Clock()
    made, registry = notifier(thread, channel, clock)
    told(store, *range(1, 11))
    assert [await made.once(), await made.once(), await made.once()] == [8, 2, 0]
    assert len({message.id for message in channel.got}) == channel.tried == 10
    assert channel.got[0].link == "https://k/runs/" + channel.got[0].id.partition("-")[0]
    count = registry.get_sample_value(
        "kaon_notifications_total", {"channel": "ops", "outcome": "sent"}
    )
    assert count == 10


async def test_what_fails_is_tried_again_later_and_given_up_after_a_day(
    store: Store, thread: StoreThread
) -> None:
    channel, clock = Recorder(problem="shut"), Clock()
    made, _ = notifier(thread, channel, clock)
    told(store, 1)
    waits = []
    while (due_us := store.next_notice_us()) is not None:
        waits.append(due_us - clock.now_us)
        clock.now_us = due_us
        assert await made.once() == 1
    assert waits[1:4] == [10_000_000, 20_000_000, 40_000_000]
    assert max(waits) == 3_600_000_000
    assert 0.9 * DAY_US < sum(waits) < 1.1 * DAY_US
    (undelivered,) = store.undelivered(10)
    assert (undelivered.given_up, undelivered.error) == (1, "shut")
    assert channel.tried == len(waits)


async def test_a_channel_that_fails_does_not_hold_up_another(
    store: Store, thread: StoreThread
) -> None:
    channel, clock = Recorder(), Clock()
    made, _ = notifier(thread, channel, clock)
    told(store, 1, channel="gone")
    told(store, 1)
    await made.once()
    assert len(channel.got) == 1
    (undelivered,) = store.undelivered(10)
    assert undelivered.error == "the deployment has no such channel any more"


async def test_a_system_of_one_person_notifies_nobody_and_keeps_nothing(
    store: Store, thread: StoreThread
) -> None:
    made, _ = notifier(thread, Recorder(), Clock(), strict=False)
    told(store, 1, channel="unknown")
    await made.once()
    assert store.next_notice_us() is None
    assert store.undelivered(10) == []


async def test_it_delivers_when_it_is_woken(store: Store, thread: StoreThread) -> None:
    channel, clock = Recorder(), Clock()
    made, _ = notifier(thread, channel, clock)
    task = asyncio.create_task(made.run())
    try:
        told(store, 1)
        made.wake()
        assert await asyncio.to_thread(channel.heard.acquire, timeout=30)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
