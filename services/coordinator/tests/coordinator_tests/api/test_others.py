"""What happens to runs that another coordinator owns is told at once, by topic run-events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.others import OthersEvents
from kaon_coordinator.api.watch import Watcher
from kaon_coordinator.shell.progress_publisher import ProgressPublisher
from kaon_coordinator.transport.base import Send, Transport
from kaon_wire import topics
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2

from .conftest import Api

PATIENCE = 20


async def test_events_and_progress_of_anothers_run_come_without_a_look_at_the_store(
    api: Api,
) -> None:
    await api.register()
    run = await api.submit()
    tell: asyncio.Future[Callable[[history_pb2.RunEvents], None]] = (
        asyncio.get_running_loop().create_future()
    )
    heard_no_more = asyncio.Event()

    async def follow(told: Callable[[history_pb2.RunEvents], None]) -> None:
        tell.set_result(told)
        try:
            await asyncio.Event().wait()
        finally:
            heard_no_more.set()

    listening = asyncio.create_task(OthersEvents(api.feed, follow, lambda: False).run())
    watcher = Watcher(store=api.thread, feed=api.feed, poll_seconds=10_000)
    updates = watcher.watch("default", run.run_id, 0)
    api.advance(run, last=1, publish=False)
    async with asyncio.timeout(PATIENCE):
        (first,) = await anext(updates)
        assert isinstance(first, history_pb2.HistoryEvent)
        assert not api.feed.progress(run.run_id)
        told = await tell
        api.advance(run, last=2, publish=False)
        progress = run_pb2.StepView(path="work", progress=0.5)
        record = history_pb2.RunEvents(events=api.store.history(run.run_id))
        record.progress.add(run_id=run.run_id, step=progress)
        record.progress.add(run_id="unwatched", step=progress)
        told(record)
        (second,), (third,) = await anext(updates), await anext(updates)
        assert isinstance(second, history_pb2.HistoryEvent)
        assert (second.seq, third) == (2, progress)
    assert not api.feed.progress("unwatched")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert heard_no_more.is_set()


async def test_who_owns_all_partitions_reads_nothing() -> None:
    feed, asked = RunFeed(), asyncio.Event()

    async def follow(_: Any) -> None:
        raise AssertionError("nothing is to be read")

    def owns_all() -> bool:
        asked.set()
        return True

    listening = asyncio.create_task(OthersEvents(feed, follow, owns_all).run())
    with feed.subscribe("run"):
        await asyncio.wait_for(asked.wait(), PATIENCE)
        assert not listening.done()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


class _Transport:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Send] = []
        self.called = asyncio.Event()

    async def send(self, sends: Sequence[Send]) -> None:
        self.sent += sends
        self.called.set()


async def test_the_newest_progress_of_each_step_is_published() -> None:
    transport = _Transport()
    publisher = ProgressPublisher(topics.Catalogue(), cast("Transport", transport))

    def reported(path: str, fraction: float) -> step_pb2.StepEvent:
        key = step_pb2.StepKey(run_id="run", path=path, attempt=1, generation=1)
        return step_pb2.StepEvent(key=key, progress=step_pb2.StepProgress(fraction=fraction))

    events = [reported("a", 0.1), reported("b", 0.2), reported("a", 0.3)]
    publisher.add({2: [step_pb2.StepEvents(runner_id="r", events=events)], 3: []})
    work = asyncio.create_task(publisher.run())
    await asyncio.wait_for(transport.called.wait(), PATIENCE)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    (send,) = transport.sent
    assert (send.topic, send.partition) == (topics.RUN_EVENTS, 2)
    told = history_pb2.RunEvents.FromString(send.value)
    assert {each.step.path: each.step.progress for each in told.progress} == {"a": 0.3, "b": 0.2}
