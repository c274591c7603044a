"""Servers on this machine that receive what channels deliver."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Web:
    """A web server that keeps what was posted to it."""

    url: str = ""
    # Headers and body.
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    # How it answers, and what it says then.
    status: int = 200
    told: bytes = b"ok"
    location: str = ""
    heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def web_server() -> Iterator[Web]:
    """Serves on a free port of this machine."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.posted.append(({key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(web.status)
            if web.location:
                self.send_header("Location", web.location)
            self.send_header("Content-Length", str(len(web.told)))
            self.end_headers()
            self.wfile.write(web.told)
            web.heard.release()

        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        web.url = f"http://127.0.0.1:{server.server_address[1]}/hook/s3cret"
        yield web


@dataclass(kw_only=True)
class Mail:
    """A mail server that keeps what was sent to it."""

    port: int = 0
    # What clients said, and the messages.
    lines: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    # Recipients that it refuses.
    refuses: frozenset[str] = frozenset()


@contextmanager
def mail_server() -> Iterator[Mail]:
    """Speaks as much SMTP as a client needs, without encryption."""
    mail = Mail()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline().decode().strip():
                mail.lines.append(line)
                word = line.split(":", 1)[0].split(" ", 1)[0].upper()
                if word == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mail.messages.append(self._message())
                if any(f"<{each}>" in line for each in mail.refuses):
                    self.wfile.write(b"550 unknown\r\n")
                else:
                    self.wfile.write(b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n")
                if word == "QUIT":
                    return

        def _message(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode()) != ".\r\n":
                lines.append(line)
            return "".join(lines).replace("\r\n", "\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, _serving(server):
        mail.port = server.server_address[1]
        yield mail


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
