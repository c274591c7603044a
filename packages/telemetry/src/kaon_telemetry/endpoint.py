"""Serves the metrics and the health of this process over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from kaon_telemetry.metrics import REGISTRY
from kaon_wire.errors import InvalidValue, Unavailable

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class MetricsServer:
    """GET /metrics and GET /health at `host:port`, on threads of its own.

    Args:
        address: Port 0 takes a free one; see `port`.
        registry: The registry behind /metrics.
        healthy: Returns whether /health answers 200 or 503. Called on the server's threads.

    Raises:
        InvalidValue: The address is malformed.
        Unavailable: The address is not available.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry = REGISTRY,
        healthy: Callable[[], bool] = lambda: True,
    ) -> None:
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isdigit()):
            raise InvalidValue(f"KAON_METRICS: {address!r} is not host:port")
        application = _with_health(make_wsgi_app(registry), healthy)
        try:
            family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
            kind: type[WSGIServer] = type("_Server", (_Server,), {"address_family": family})
            server: WSGIServer = make_server(host, int(port), application, kind, _Quiet)
        except OSError as error:
            raise Unavailable(f"cannot serve metrics at {address}: {error}") from error
        self._server = server
        self._thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.port = server.server_port

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    """A server with a thread per connection: a slow reader delays no other."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: health is checked every few seconds."""


def _with_health(metrics: WSGIApplication, healthy: Callable[[], bool]) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            return metrics(environ, start_response)
        well = healthy()
        start_response(
            "200 OK" if well else "503 Service Unavailable", [("Content-Type", "text/plain")]
        )
        return [b"healthy\n" if well else b"not healthy\n"]

    return answer
