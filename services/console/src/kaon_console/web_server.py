"""uvicorn as part of a service: it listens when it is told to, and leaves signals and logs alone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from kaon_wire.errors import InvalidValue, Unavailable

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
        certificate: with its chain, when browsers come by HTTPS (PEM).
        key: its private key.

    Raises:
        InvalidValue: the certificate cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
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
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        try:
            config.load()
        except OSError as error:
            raise InvalidValue(f"KAON_TLS_CERT or KAON_TLS_KEY cannot be used: {error}") from error
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
