"""WatchRun: history, then live, without gap or duplicate."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.api import feed as feeds
from kaon_coordinator.api.watch import Watcher
from kaon_coordinator.api.watch_responses import watch_responses
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.run.v1 import run_service_pb2 as r

from .conftest import Api


async def _next(call: Any) -> Any:
    """The next update; EOF at the end of the call."""
    return await asyncio.wait_for(call.read(), 10)


async def _rest(call: Any) -> list[int]:
    """The seqs of everything that follows, to the end of the call."""
    seqs = []
    while (update := await _next(call)) is not aio.EOF:
        if update.HasField("event"):
            seqs.append(update.event.seq)
    return seqs


async def _begin(api: Api) -> run_pb2.Run:
    await api.register()
    return await api.submit()


async def test_a_finished_run_is_told_whole(api: Api) -> None:
    run = await _begin(api)
    api.advance(run, last=1_200)
    api.end(run)
    assert await _rest(api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id))) == list(
        range(1, 1_202)
    )


async def test_a_watch_goes_on_where_an_earlier_one_stopped(api: Api) -> None:
    run = await _begin(api)
    api.advance(run, last=3)
    api.end(run)
    assert await _rest(api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, after_seq=2))) == [
        3,
        4,
    ]
    assert await _rest(api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, after_seq=4))) == []


@pytest.mark.parametrize(
    "publish", [True, False], ids=["this process owns the run", "another process owns it"]
)
async def test_live_events_follow_on_the_history(api: Api, publish: bool) -> None:
    run = await _begin(api)
    api.advance(run, last=2, publish=publish)
    call = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id))
    assert [(await _next(call)).event.seq for _ in range(2)] == [1, 2]
    api.advance(run, last=5, publish=publish)
    assert [(await _next(call)).event.seq for _ in range(3)] == [3, 4, 5]
    api.end(run, publish=publish)
    assert await _rest(call) == [6]


async def test_events_that_the_feed_tells_late_twice_or_not_at_all_are_told_once(api: Api) -> None:
    run = await _begin(api)
    api.advance(run, last=4, publish=False)
    call = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id))
    assert (await _next(call)).event.seq == 1
    old = api.store.history(run.run_id)
    api.feed.publish(old)
    api.advance(run, last=8, publish=False)
    api.feed.publish(api.store.history(run.run_id)[6:])
    api.feed.publish(old)
    api.end(run)
    assert await _rest(call) == list(range(2, 10))


async def test_a_slow_watcher_misses_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "WAITING_EVENTS", 3)
    run = await _begin(api)
    call = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id))
    api.advance(run, last=1)
    assert (await _next(call)).event.seq == 1
    for last in range(2, 60):
        api.advance(run, last=last)
    api.end(run)
    assert await _rest(call) == list(range(2, 61))


async def test_several_watchers_see_the_same(api: Api) -> None:
    run = await _begin(api)
    calls = [api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id)) for _ in range(5)]
    api.advance(run, last=3)
    for call in calls:
        assert (await _next(call)).event.seq == 1
    api.end(run)
    assert [await _rest(call) for call in calls] == [[2, 3, 4]] * 5


async def test_many_events_come_in_one_response_in_order(api: Api) -> None:
    run = await _begin(api)
    api.advance(run, last=1_200)
    call = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, batch_size=400))
    seqs: list[int] = []
    while len(seqs) < 1_200:
        told = (await _next(call)).events
        assert 100 <= len(told) <= 400
        seqs += [event.seq for event in told]
    assert seqs == list(range(1, 1_201))
    api.advance(run, last=1_203)
    api.feed.publish_progress(run.run_id, run_pb2.StepView(path="work", progress=0.25))
    found: list[Any] = []
    while len(found) < 4:
        update = await _next(call)
        found += [event.seq for event in update.events] or [update.progress.path]
    assert found == [1_201, 1_202, 1_203, "work"]
    api.end(run)
    assert [event.seq for event in (await _next(call)).events] == [1_204]
    assert await _next(call) is aio.EOF


def test_a_response_is_no_larger_than_a_client_takes() -> None:
    large = history_pb2.RunEnded(outputs_json={"text": "x" * 400_000})
    events = [history_pb2.HistoryEvent(seq=seq, run_ended=large) for seq in range(5)]
    progress = run_pb2.StepView(path="work")
    told = list(watch_responses([*events, progress, events[0]], batch_size=1_000))
    assert [len(each.events) for each in told] == [2, 2, 1, 0, 1]
    assert told[3].progress == progress


@pytest.mark.parametrize(
    "publish", [True, False], ids=["this process owns the run", "another process owns it"]
)
async def test_who_waits_for_the_end_hears_nothing_else(api: Api, publish: bool) -> None:
    run = await _begin(api)
    call = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, only_end=True))
    reading = asyncio.create_task(_next(call))
    await asyncio.wait_for(api.feed.someone_watches.wait(), 10)
    api.advance(run, last=300, publish=publish)
    api.feed.publish_progress(run.run_id, run_pb2.StepView(path="work", progress=0.25))
    assert not reading.done()
    api.end(run, publish=publish)
    assert await reading is aio.EOF
    ended = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, only_end=True))
    assert await _next(ended) is aio.EOF


async def test_progress_is_told_live_and_to_who_comes_later(api: Api) -> None:
    run = await _begin(api)
    api.advance(run, last=1)
    first = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id))
    assert (await _next(first)).event.seq == 1
    view = run_pb2.StepView(path="work", progress=0.25, progress_message="a quarter")
    api.feed.publish_progress(run.run_id, view)
    assert (await _next(first)).progress == view
    second = api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, after_seq=1))
    assert (await _next(second)).progress == view
    api.end(run)
    assert await _rest(first) == [2]
    assert await _rest(second) == [2]


async def test_progress_ends_with_its_step_and_with_the_run(api: Api) -> None:
    for path in ("a", "b"):
        api.feed.publish_progress("run", run_pb2.StepView(path=path))
    ended = history_pb2.HistoryEvent(run_id="run", step_ended=history_pb2.StepEndedEvent(path="a"))
    api.feed.publish([ended])
    assert set(api.feed.progress("run")) == {"b"}
    api.feed.publish([history_pb2.HistoryEvent(run_id="run", run_ended=history_pb2.RunEnded())])
    assert api.feed.progress("run") == {}


async def test_nothing_is_kept_of_a_watcher_that_has_gone(api: Api) -> None:
    run = await _begin(api)
    watcher = Watcher(store=api.thread, feed=api.feed)
    seen = asyncio.Event()

    async def watch() -> None:
        async for _ in watcher.watch("default", run.run_id, 0):
            seen.set()

    api.advance(run, last=1)
    watching = asyncio.create_task(watch())
    await asyncio.wait_for(seen.wait(), 10)
    assert api.feed.watched == {run.run_id}
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert api.feed.watched == frozenset()


async def test_only_a_run_of_ones_own_can_be_watched(api: Api) -> None:
    run = await _begin(api)
    for only_end in (False, True):
        call = api.runs.WatchRun(
            r.WatchRunRequest(run_id=run.run_id, only_end=only_end),
            metadata=(("kaon-tenant", "other"),),
        )
        with pytest.raises(aio.AioRpcError, match=run.run_id) as told:
            await _rest(call)
        assert told.value.code() == StatusCode.NOT_FOUND
    with pytest.raises(aio.AioRpcError, match="after_seq"):
        await _rest(api.runs.WatchRun(r.WatchRunRequest(run_id=run.run_id, after_seq=-1)))
