"""Serves the metrics of this process over HTTP."""

from __future__ import annotations

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from kaon_telemetry.metrics import REGISTRY
from kaon_wire.errors import InvalidValue, Unavailable


class MetricsServer:
    """GET /metrics at `host:port`, on a thread of its own.

    Args:
        address: port 0 takes a free one; see `port`.

    Raises:
        InvalidValue: the address is none.
        Unavailable: it cannot be listened on.
    """

    def __init__(self, address: str, registry: CollectorRegistry = REGISTRY) -> None:
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isdigit()):
            raise InvalidValue(f"KAON_METRICS: {address!r} is not host:port")
        try:
            server, thread = start_http_server(int(port), addr=host, registry=registry)
        except OSError as error:
            raise Unavailable(f"cannot serve metrics at {address}: {error}") from error
        self._server: WSGIServer = server
        self._thread: Thread = thread
        self.port = server.server_port

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
