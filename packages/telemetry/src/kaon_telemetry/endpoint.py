"""Serves the metrics and the health of this process over HTTP."""

from __future__ import annotations

import hmac
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from kaon_telemetry.metrics import REGISTRY
from kaon_wire.addresses import is_loopback
from kaon_wire.errors import InvalidValue, Unavailable

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_TOKEN_FILE = "KAON_METRICS_TOKEN_FILE"
_NO_TOKEN = "none"
_SHORTEST_TOKEN = 16
# Where WSGI has a request's authorization.
_SHOWN = "HTTP_AUTHORIZATION"


class MetricsServer:
    """GET /metrics and GET /health at `host:port`, on threads of its own.

    Args:
        address: Port 0 takes a free one; see `port`.
        registry: The registry behind /metrics.
        healthy: Returns whether /health answers 200 or 503. Called on the server's threads.
        token: What /metrics asks for as `authorization: Bearer TOKEN`; empty: everybody may read it. /health asks for nothing.

    Raises:
        InvalidValue: The address is malformed.
        Unavailable: The address is not available.
    """

    def __init__(
        self,
        address: str,
        registry: CollectorRegistry = REGISTRY,
        healthy: Callable[[], bool] = lambda: True,
        token: str = "",
    ) -> None:
        host, colon, port = address.rpartition(":")
        if not (colon and host and port.isdigit()):
            raise InvalidValue(f"KAON_METRICS: {address!r} is not host:port")
        application = _with_health(_guarded(make_wsgi_app(registry), token), healthy)
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


def metrics_token(environment: Mapping[str, str]) -> str:
    """Return the token of the file that `KAON_METRICS_TOKEN_FILE` names; empty when everybody may read the metrics.

    Raises:
        InvalidValue: The file cannot be used; or there is none although others than this machine reach `KAON_METRICS`, and the
            variable does not say "none".
    """
    path, address = environment.get(_TOKEN_FILE, ""), environment.get("KAON_METRICS", "")
    if path in {"", _NO_TOKEN}:
        if address and path != _NO_TOKEN and not is_loopback(address):
            raise InvalidValue(
                f"KAON_METRICS: others reach {address}: name a file with a token in {_TOKEN_FILE}, or say "
                f"{_TOKEN_FILE}={_NO_TOKEN} where they may read the metrics"
            )
        return ""
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"{_TOKEN_FILE}: {path} cannot be read: {error}") from None
    if len(token) < _SHORTEST_TOKEN:
        raise InvalidValue(
            f"{_TOKEN_FILE}: the token in {path} has {len(token)} characters; at least {_SHORTEST_TOKEN} are needed"
        )
    return token


class _Server(ThreadingMixIn, WSGIServer):
    """A server with a thread per connection: a slow reader delays no other."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: health is checked every few seconds."""


def _guarded(metrics: WSGIApplication, token: str) -> WSGIApplication:
    if not token:
        return metrics
    expected = f"Bearer {token}".encode()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # As WSGI gives headers: every byte is a character.
        shown = str(environ.get(_SHOWN, "")).encode("latin-1", "replace")
        if hmac.compare_digest(shown, expected):
            return metrics(environ, start_response)
        headers = [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")]
        start_response("401 Unauthorized", headers)
        return [b"a token is needed\n"]

    return answer


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
