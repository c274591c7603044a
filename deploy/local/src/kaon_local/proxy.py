"""A TCP proxy with faults on command: cut, stall, delay, reset. It stands between a client and a server tests must not touch."""

import asyncio
import random
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from kaon_local.ports import HOST, free_port

_CHUNK_BYTES = 65_536
# Pieces that wait for their delay, for each direction of a connection; beyond it the sender is held back.
_QUEUED_CHUNKS = 256

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """Where the proxy listens and whom it calls, both on 127.0.0.1."""

    upstream_port: int
    port: int = field(default_factory=free_port)


class TcpProxy:
    """Passes bytes both ways until told otherwise.

    Every method may be called from any thread and takes effect before it returns.
    """

    def __init__(self, config: ProxyConfig) -> None:
        self.config = config
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=f"proxy-{config.port}", daemon=True
        )
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._delay = 0.0
        self._refusing = False
        self._resetting: asyncio.Task[None] | None = None
        self._reset_count = 0
        self._flowing = asyncio.Event()

    def start(self) -> None:
        """Listen; OSError when the port is taken."""
        self._thread.start()
        self._flowing.set()
        self._call(self._listen())

    def stop(self) -> None:
        """Drop every connection and stop listening."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Drop every connection, and every new one at once, until `heal`."""
        self._call(self._cut())

    def stall(self) -> None:
        """Keep connections open and pass nothing, as a network that swallows packets does, until `heal`."""
        self._call(self._set_flow(flowing=False))

    def delay(self, seconds: float) -> None:
        """Hold each piece of data back for this long, in each direction, until `heal`."""
        self._call(self._set_delay(seconds))

    def reset(self, share: float, *, seconds: float = 1.0, seed: int = 0) -> None:
        """Drop this share of the connections, picked at random, every so many seconds, until `heal`; new ones are accepted."""
        self._call(self._start_resets(share, seconds, random.Random(seed)))

    @property
    def resets(self) -> int:
        """How many connections `reset` has dropped so far."""
        return self._reset_count

    def heal(self) -> None:
        """End all faults."""
        self._call(self._heal())

    @property
    def connections(self) -> int:
        """How many connections it carries now."""
        return self._call(self._count())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.config.port)

    async def _close(self) -> None:
        self._stop_resets()
        if self._server is not None:
            self._server.close()
        await self._drop_links()

    async def _cut(self) -> None:
        self._refusing = True
        await self._drop_links()

    async def _set_flow(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _set_delay(self, seconds: float) -> None:
        self._delay = seconds

    async def _start_resets(self, share: float, seconds: float, chance: random.Random) -> None:
        self._stop_resets()
        self._resetting = asyncio.create_task(self._reset_links(share, seconds, chance))

    async def _reset_links(self, share: float, seconds: float, chance: random.Random) -> None:
        while True:
            await asyncio.sleep(seconds)
            for link in list(self._links):
                if chance.random() < share:
                    link.cancel()
                    self._reset_count += 1

    def _stop_resets(self) -> None:
        if self._resetting is not None:
            self._resetting.cancel()
            self._resetting = None

    async def _heal(self) -> None:
        self._stop_resets()
        self._refusing = False
        self._delay = 0.0
        self._flowing.set()

    async def _count(self) -> int:
        return len(self._links)

    async def _drop_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        link = asyncio.create_task(self._carry(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it or it is dropped; both ends learn of it."""
        ends = [writer]
        try:
            up_reader, up_writer = await asyncio.open_connection(HOST, self.config.upstream_port)
            ends.append(up_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, up_writer))
                both.create_task(self._pass(up_reader, writer))
        except (OSError, ExceptionGroup):
            pass  # the connection is at its end: an upstream that refuses, or a peer that went away
        finally:
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction. At its end the whole connection is closed: the protocols here have no half-open ones."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUED_CHUNKS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(queue, writer))
            while data := await reader.read(_CHUNK_BYTES):
                await queue.put((self._loop.time() + self._delay, data))
            await queue.join()
            raise ConnectionResetError("one end has closed the connection")

    async def _write(
        self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
            queue.task_done()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
