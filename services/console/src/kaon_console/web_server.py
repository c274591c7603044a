"""uvicorn as part of a service: it listens when it is told to, and leaves signals and logs alone."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from kaon_wire.errors import Unavailable

# For which requests that still run are waited at the end.
_STOP_SECONDS = 3
# Between two requests of one connection; a browser asks again within.
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        Unavailable: The address is not available.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port}: {error}") from error
    return listening


class WebServer:
    """Serves an application on a socket.

    Args:
        app: what answers.
        listening: the socket.
        context: shows the certificate, when browsers come by HTTPS.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        context: ssl.SSLContext | None = None,
    ) -> None:
        secure: dict[str, Any] = (
            {} if context is None else {"ssl_context_factory": lambda _config, _usual: context}
        )
        # h11 is strict about what a request is.
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
            **secure,
        )
        config.load()
        self._listening = listening
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve until `stop`."""
        await self._server.serve(sockets=[self._listening])

    def stop(self) -> None:
        """Accept no new requests, wait for running ones, and let `run` return."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the service."""
        yield
