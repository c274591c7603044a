"""Watches: streams of topics, each told as often as its watcher wants, made and encoded once for all who want the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from kaon_coordinator.view.hub import Hub
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.topics import News, cursor_tick, topic_of
from kaon_wire.errors import InvalidValue, KaonError, NotFound
from kaon_wire.packing import pack_repeated
from kaonapi.view.v1 import watch_pb2

_MOST_TOPICS = 100
# For so long at most, in seconds, a response waits for others of the same moment.
_TOGETHER_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What is told of a topic, encoded: the same bytes for all who are told it."""

    cursor: str
    body: bytes

    def response(self, key: str, time_us: int) -> bytes:
        """Return the response for one watcher: messages that follow each other are one message."""
        return self.body + watch_pb2.WatchResponse(key=key, time_us=time_us).SerializeToString()


class _Following:
    """One topic of one stream."""

    def __init__(self, tenant: str, wish: watch_pb2.Topic, interval: float) -> None:
        self.key = wish.key
        self.topic = topic_of(tenant, wish)
        # Beyond the time between two ticks, which pass for everybody.
        self.longer = max(wish.interval_ms / 1_000 - interval, 0.0)
        self.cursor = wish.cursor
        # Whether there may be news, and when they may be told at the earliest.
        self.stale = True
        self.due = 0.0
        # Whether the last look has told less than what has happened; and how many looks have told nothing for it.
        self.behind = False
        self._silent = 0
        self.failed = False
        # Names what is looked at, whoever looks: but for the cursor, equal ones see the same.
        named = watch_pb2.Topic()
        named.CopyFrom(wish)
        for field in ("key", "cursor", "interval_ms"):
            named.ClearField(field)
        self._name = (tenant, named.SerializeToString(deterministic=True))

    async def look(self, hub: Hub, parts: ViewParts) -> bytes | None:
        """Return the response that tells what is new; None when nothing is."""
        self.stale = self.behind = False
        try:
            told, self.behind = await self._look(hub, parts)
            self.stale |= self.behind
            self._silent = self._silent + 1 if self.behind and told is None else 0
        except KaonError as error:
            self.failed = True
            status = "NOT_FOUND" if isinstance(error, NotFound) else "FAILED_PRECONDITION"
            failure = watch_pb2.TopicFailure(status=status, message=str(error))
            told = _told(watch_pb2.WatchResponse(cursor=self.cursor, failure=failure))
        if told is None:
            return None
        self.cursor = told.cursor
        return told.response(self.key, parts.now_us())

    async def _look(self, hub: Hub, parts: ViewParts) -> tuple[_Told | None, bool]:
        topic, cursor = self.topic, self.cursor
        tick = cursor_tick(cursor, hub.life)
        news = News(
            life=hub.life,
            tick=hub.tick,
            progress=hub.progress_of(topic.run_id, tick),
            changed=hub.changed_since(tick) if tick >= 0 else None,
        )

        def looked() -> tuple[_Told | None, bool]:
            found = topic.look(parts, cursor, news)
            return None if found is None else _told(found), topic.behind

        if topic.polled:
            return await parts.threads.read(looked)
        told: tuple[_Told | None, bool] = await hub.once(
            (self._name, cursor, self._silent), lambda: parts.threads.read(looked)
        )
        return told


def _told(response: watch_pb2.WatchResponse) -> _Told:
    return _Told(cursor=response.cursor, body=response.SerializeToString())


class Stream:
    """One watch; with `together` it tells as one response what it tells at one moment."""

    def __init__(
        self,
        hub: Hub,
        parts: ViewParts,
        tenant: str,
        wishes: Sequence[watch_pb2.Topic],
        *,
        together: bool = False,
    ) -> None:
        _check(wishes)
        self._hub = hub
        self._parts = parts
        self._together_seconds = _TOGETHER_SECONDS if together else 0.0
        self._following = [_Following(tenant, wish, parts.interval_seconds) for wish in wishes]
        self._news = asyncio.Event()

    @property
    def run_ids(self) -> Collection[str]:
        """The runs that it watches."""
        return {each.topic.run_id for each in self._following if each.topic.run_id}

    def note(self, changed: Collection[str]) -> None:
        """Note that runs have changed."""
        for each in self._following:
            if not each.topic.run_id or each.topic.run_id in changed:
                each.stale = True
        self._news.set()

    async def responses(self) -> AsyncIterator[bytes]:
        """Return what is new, each as an encoded WatchResponse, as long as somebody takes it."""
        loop = asyncio.get_running_loop()
        with self._hub.watch(self):
            told_at = loop.time()
            while True:
                self._news.clear()
                async for response in self._looks():
                    yield response
                    told_at = loop.time()
                if loop.time() - told_at >= self._parts.quiet_seconds:
                    yield watch_pb2.WatchResponse(time_us=self._parts.now_us()).SerializeToString()
                    told_at = loop.time()
                await self._until(min(self._next_due(), told_at + self._parts.quiet_seconds))

    async def _looks(self) -> AsyncIterator[bytes]:
        """Look at all topics that are due, and return what is new."""
        loop, held = asyncio.get_running_loop(), list[bytes]()
        since = began = loop.time()
        for each in self._ready(began):
            # A whole state may take long to make: what has changed in others does not wait for it.
            if held and (not each.cursor or began - since >= self._together_seconds):
                yield joined(held)
                held, since = [], loop.time()
                began = since
            response = await each.look(self._hub, self._parts)
            took, began = loop.time() - began, loop.time()
            each.due = began + self._rest(each, took, told=response is not None)
            if response is not None:
                held.append(response)
        if held:
            yield joined(held)

    def _ready(self, now: float) -> list[_Following]:
        return [
            each
            for each in self._following
            if not each.failed and (each.stale or each.topic.polled) and each.due <= now
        ]

    def _rest(self, each: _Following, took: float, *, told: bool) -> float:
        """Return for how long nothing is told of a topic: what is costly to make takes half of the time at most."""
        base = self._parts.interval_seconds
        if each.topic.polled:
            # What has just come may not be all.
            return base + each.longer if told else max(self._parts.log_seconds, base + each.longer)
        if each.behind:
            return max(each.longer, base - took)
        return max(each.longer, took) if told else 0.0

    def _next_due(self) -> float:
        dues = (
            each.due
            for each in self._following
            if not each.failed and (each.stale or each.topic.polled)
        )
        return min(dues, default=float("inf"))

    async def _until(self, due: float) -> None:
        """Wait for news, or until something is due."""
        try:
            async with asyncio.timeout_at(due):
                await self._news.wait()
        except TimeoutError:
            return


def joined(responses: Sequence[bytes]) -> bytes:
    """Return encoded responses as one: the first, with the others as its `also`, which are not decoded for that."""
    first, *others = responses
    return first + pack_repeated(watch_pb2.WatchResponse.ALSO_FIELD_NUMBER, others)


def _check(wishes: Sequence[watch_pb2.Topic]) -> None:
    if not wishes:
        raise InvalidValue("topics: name at least one")
    if len(wishes) > _MOST_TOPICS:
        raise InvalidValue(f"topics: there are {len(wishes)}; use at most {_MOST_TOPICS}")
    keys = {wish.key for wish in wishes}
    if len(keys) < len(wishes) or "" in keys:
        raise InvalidValue("topics: each needs a key of its own")
    for wish in wishes:
        if wish.WhichOneof("topic") is None:
            raise InvalidValue(f"topics[{wish.key[:80]}]: say what it is")
