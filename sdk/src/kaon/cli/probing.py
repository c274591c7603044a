"""Tells at once that nothing listens at an address: a person waits, and a service that restarts is asked again by them."""

from __future__ import annotations

import socket

from kaon_wire.errors import Unavailable

_SECONDS = 1.0


def probe(address: str, variable: str) -> None:
    """Return when something listens at `host:port`, or when that cannot be told so.

    Raises:
        Unavailable: the connection is refused.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except ConnectionRefusedError:
        raise Unavailable(
            f"nothing listens at {address}: start a system with kaon serve, or set --server or {variable}"
        ) from None
    except OSError:
        # A name that is resolved elsewhere, a network that is slow: the call itself tells more.
        return
