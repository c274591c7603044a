"""Watches that take what comes and look at nothing: browsers are on other machines, and cost the one that serves them nothing.

A client of gRPC in Python takes as much CPU for a message as the service does to tell it. So this one speaks as much of HTTP/2 as
it needs, about as much as the network process of a browser does.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
from pathlib import Path

_METHOD = "/kaonapi.view.v1.ViewService/Watch"
_GROUP = Path("/proc/self/autogroup")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_INITIAL_WINDOW_SIZE = 4
# Nobody has to say again and again that more may come.
_LARGEST_WINDOW = 2**31 - 1
_USUAL_WINDOW = 65_535
_HEAD = 9


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: str, value: str) -> bytes:
    """Return a header as HPACK has it: a literal, which no table remembers."""
    texts = [name.encode(), value.encode()]
    if max(map(len, texts)) > 126:
        raise ValueError(f"header {name} is too long")
    return b"\0" + b"".join(bytes([len(text)]) + text for text in texts)


class _Watch:
    """One connection with one watch."""

    def __init__(self, address: str, request: bytes, metadata: dict[str, str]) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self._rest = b""
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": _METHOD,
            ":authority": address,
            "content-type": "application/grpc",
            "te": "trailers",
            **metadata,
        }
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW)
        more = struct.pack(">I", _LARGEST_WINDOW - _USUAL_WINDOW)
        message = struct.pack(">BI", 0, len(request)) + request
        self.socket.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, more)
            + _frame(
                _HEADERS, _END_HEADERS, 1, b"".join(_header(*each) for each in headers.items())
            )
            + _frame(_DATA, _END_STREAM, 1, message)
        )

    def read(self) -> None:
        """Take what has come, and answer what asks for an answer.

        Raises:
            ConnectionError: the watch has ended.
        """
        came = self.socket.recv(1 << 20)
        if not came:
            raise ConnectionError("the service has closed the connection")
        data, at = self._rest + came, 0
        while len(data) - at >= _HEAD:
            end = at + _HEAD + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                payload = data[at + _HEAD : end] if kind == _PING else b""
                self.socket.sendall(_frame(kind, _ACK, 0, payload))
            elif kind in (_RESET, _GO_AWAY) or (kind == _HEADERS and flags & _END_STREAM):
                raise ConnectionError(f"the watch has ended: {data[at:end]!r}")
            at = end
        self._rest = data[at:]


def main() -> None:
    """Watch as often as is asked for, until killed: ADDRESS REQUEST-AS-HEX COUNT NAME=VALUE..."""
    address, request, count, *pairs = sys.argv[1:]
    # Else this process would take from what is measured; it leads a session of its own.
    os.nice(19)
    if _GROUP.exists():
        _GROUP.write_text("19")
    metadata = dict(pair.split("=", 1) for pair in pairs)
    with selectors.DefaultSelector() as selector:
        for _ in range(int(count)):
            watch = _Watch(address, bytes.fromhex(request), metadata)
            selector.register(watch.socket, selectors.EVENT_READ, watch)
        while True:
            for key, _ in selector.select():
                key.data.read()


if __name__ == "__main__":
    main()
