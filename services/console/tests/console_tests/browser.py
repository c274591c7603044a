"""A browser as far as the server sees it: plain HTTP over a socket, with a cookie and what browsers add by themselves."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import Message


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    # Names in lower case.
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)


class Browser:
    """One browser at one console.

    Args:
        origin: of the console.
        link: logs in with it.
    """

    def __init__(self, origin: str, link: str = "") -> None:
        self.origin = origin
        self.cookie = ""
        parts = urlsplit(origin)
        self._place = (parts.hostname or "", parts.port or 80)
        if link:
            answer = self.get(link.removeprefix(origin))
            assert answer.status == 303, answer
            self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def get(self, path: str, **headers: str | None) -> Answer:
        """GET, as of a link or of the page."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: bytes = b"", **headers: str | None) -> Answer:
        """POST, as the page does; a header of None is left out."""
        own = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        return self.request("POST", path, body, own | headers)

    def call(self, method: str, request: Message | bytes = b"", **headers: str | None) -> Answer:
        """A call that answers once."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        own = {"content-type": "application/proto", "connect-protocol-version": "1"}
        return self.post(f"/api/{method}", body, **(own | headers))

    def stream(
        self,
        method: str,
        request: Message | bytes = b"",
        *,
        small_buffer: bool = False,
        **headers: str | None,
    ) -> Stream:
        """A call that answers with a stream; a small buffer soon holds up whoever sends."""
        message = request if isinstance(request, bytes) else request.SerializeToString()
        connection = self.connect()
        if small_buffer:
            connection.sock = socket.socket()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sock.connect(self._place)
        connection.request(
            "POST",
            f"/api/{method}",
            struct.pack(">BI", 0, len(message)) + message,
            self._headers(
                {
                    "origin": self.origin,
                    "content-type": "application/connect+proto",
                    "connect-protocol-version": "1",
                }
                | headers
            ),
        )
        return Stream(connection)

    def request(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Any request. Underscores in the names of headers stand for hyphens."""
        connection = self.connect()
        try:
            connection.request(verb, path, body, self._headers(headers or {}))
            answer = connection.getresponse()
            return Answer(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=answer.read(),
            )
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection(*self._place, timeout=60)

    def _headers(self, headers: Mapping[str, str | None]) -> dict[str, str]:
        cookie = {"cookie": self.cookie} if self.cookie else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {name: value for name, value in (cookie | named).items() if value is not None}


class Stream:
    """The answer to a call that streams; a context manager, at whose end the browser goes away."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._answer = connection.getresponse()
        self.status = self._answer.status
        self.content_type = self._answer.headers["content-type"]
        # Of the last envelope.
        self.end: Any = None

    def __iter__(self) -> Iterator[bytes]:
        while self.end is None:
            flags, length = struct.unpack(">BI", self._answer.read(5))
            # Nothing is read of nothing: that would wait for the chunk after it.
            message = self._answer.read(length) if length else b""
            if flags & 0b10:
                self.end = json.loads(message)
            else:
                yield message

    def next(self) -> bytes:
        """The next message."""
        return next(iter(self))

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Goes away, as a browser does."""
        self._answer.close()
        self._connection.close()
