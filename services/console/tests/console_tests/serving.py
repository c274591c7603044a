"""Consoles for tests, on a thread with an event loop of their own, and a service that says what reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from kaon_console.bootstrap import Application
from kaon_console.doors import new_link
from kaon_console.settings import Settings
from kaon_service.principal import Principal
from kaon_service.thread import ApplicationThread

from .browser import Browser

INDEX = '<html><script nonce="__CSP_NONCE__" src="/assets/app-1a.js"></script></html>'
SOMEBODY = Principal(tenant="team", name="somebody", roles=frozenset({"ml", "ops"}))


def build_pages(directory: Path) -> Path:
    """A page as small as one can be, with the files that a build writes."""
    assets = directory / "assets"
    assets.mkdir(parents=True)
    (directory / "index.html").write_text(INDEX)
    (directory / "favicon.svg").write_text("<svg/>")
    (assets / "app-1a.js").write_bytes(b"plain")
    (assets / "app-1a.js.br").write_bytes(b"brotli")
    (assets / "app-1a.js.gz").write_bytes(b"gzip")
    return directory


@dataclass(frozen=True, kw_only=True)
class Served:
    """A console at work."""

    origin: str
    port: int
    settings: Settings
    # Ends it in order; returns when it has ended.
    stop: Callable[[], None]

    def link(self, principal: Principal = SOMEBODY, page: str = "/") -> str:
        """A link that logs somebody in."""
        return new_link(self.settings.state, self.origin, principal, page)

    def browser(self, principal: Principal = SOMEBODY) -> Browser:
        """A browser in which somebody has logged in."""
        return Browser(self.origin, self.link(principal))


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Serves a console until the context ends."""
    application = Application(settings, how_to_link="ask the test")
    with on_a_thread(application) as (port, stop):
        yield Served(origin=application.origin, port=port, settings=settings, stop=stop)


@contextmanager
def on_a_thread(application: Any) -> Iterator[tuple[int, Callable[[], None]]]:
    """Runs an application in an event loop of its own; gives its port and what stops it."""
    thread = ApplicationThread("under test", lambda: application)
    port = thread.start()
    try:
        yield port, thread.stop
    finally:
        thread.stop()
    if thread.failure is not None:
        raise thread.failure


# What answers a method: gets the bytes of the request and the context of the call.
Unary = Callable[[bytes, Any], Awaitable[bytes]]
Streaming = Callable[[bytes, Any], AsyncIterator[bytes]]


class FakeService:
    """A gRPC server whose methods see and say bytes; an application for `on_a_thread`.

    Args:
        unary: by name, such as "kaonapi.run.v1.RunService/GetRun".
        streaming: likewise.
    """

    def __init__(
        self, unary: Mapping[str, Unary], streaming: Mapping[str, Streaming], port: int = 0
    ) -> None:
        self._unary, self._streaming, self._port = unary, streaming, port
        self._server: aio.Server | None = None

    async def start(self) -> int:
        """Listens."""
        self._server = aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handler(self._unary, self._streaming),))
        port: int = self._server.add_insecure_port(f"127.0.0.1:{self._port}")
        await self._server.start()
        return port

    async def wait(self) -> None:
        """Returns never."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Ends every call."""
        assert self._server is not None
        await self._server.stop(None)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, unary: Mapping[str, Unary], streaming: Mapping[str, Streaming]) -> None:
        self._unary, self._streaming = unary, streaming

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The method that is called."""
        name = handler_call_details.method.lstrip("/")
        if name in self._unary:
            return grpc.unary_unary_rpc_method_handler(self._unary[name])
        if name in self._streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming[name])
        return None
