"""HTTP health check: GET /health returns 200 when the runner is ready, 503 otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HealthServer:
    """Serves the health check on 127.0.0.1.

    Args:
        port: 0 takes a free one.
        ready: Called for every request.
        about: Fields added to the answer.
    """

    def __init__(self, port: int, *, ready: Callable[[], bool], about: dict[str, Any]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                healthy = ready()
                body = json.dumps({**about, "ready": healthy}).encode()
                self.send_response((200 if healthy else 503) if self.path == "/health" else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
                """Log nothing for health checks."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
