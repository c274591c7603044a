"""The model in service over HTTP: GET /health, GET /version, POST /predict (a JSON object in, a JSON object out)."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving import Served, ServingError

from kaonapi.model.v1 import model_pb2

LARGEST_REQUEST = 1 << 20


class InService:
    """Which model answers now. Switching is one assignment: a request that has begun ends with the model that it began with."""

    def __init__(self) -> None:
        self._current: tuple[model_pb2.ModelVersion, Served] | None = None

    def switch(self, version: model_pb2.ModelVersion, served: Served) -> None:
        """From now on this one answers; the one before is closed."""
        before, self._current = self._current, (version, served)
        if before is not None:
            before[1].close()

    def version(self) -> dict[str, Any] | None:
        """What answers now; None: nothing yet."""
        if self._current is None:
            return None
        version = self._current[0]
        return {"model": version.model, "version": version.version, "digest": version.image_digest}

    def predict(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The answer of the model in service; None: there is none yet."""
        return None if self._current is None else self._current[1].predict(request)

    def close(self) -> None:
        """Takes the model out of service."""
        if self._current is not None:
            self._current[1].close()


def listen(port: int, service: InService) -> ThreadingHTTPServer:
    """Answers at all addresses of this machine, in a thread; `shutdown` of what is returned ends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                self._answer(200, {"status": "ok"})
            elif self.path == "/version":
                version = service.version()
                self._answer(
                    200 if version else 503, version or {"error": "no model is in service yet"}
                )
            else:
                self._answer(404, {"error": f"no such path: {self.path}"})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/predict" or length > LARGEST_REQUEST:
                self._answer(404, {"error": f"POST /predict, with at most {LARGEST_REQUEST} bytes"})
                return
            try:
                answer = service.predict(json.loads(self.rfile.read(length)))
            except (ValueError, ServingError) as error:
                self._answer(422, {"error": f"{type(error).__name__}: {error}"})
                return
            if answer is None:
                self._answer(503, {"error": "no model is in service yet"})
                return
            self._answer(200, answer)

        def _answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name is the base class's
            """Requests are not worth a line."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True).start()
    return server
