"""Fetches documents of issuers: bounded in time and size, and from nowhere else than where it is told."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kaon_service.access.rules_file import checked_url
from kaon_service.http_opener import opener
from kaon_wire.errors import InvalidValue, Unavailable

# Seconds: of one wait for the server, and of the whole document.
_WAIT = 5.0
_WHOLE = 10.0
_BYTES = 1024 * 1024
_PIECE = 64 * 1024


def fetch_json(url: str, ca: Path | None) -> dict[str, Any]:
    """Fetch a JSON object. Blocks for some seconds at most.

    Raises:
        Unavailable: It cannot be fetched, or is none.
    """
    try:
        checked_url(url, "an issuer's document")
        with _opener(url, ca).open(url, timeout=_WAIT) as response:
            document = json.loads(_read(response, time.monotonic() + _WHOLE))
    except (OSError, ValueError, InvalidValue, http.client.HTTPException) as error:
        raise Unavailable(f"{url} cannot be fetched: {error}") from error
    if not isinstance(document, dict):
        raise Unavailable(f"{url} is no JSON object")
    return document


def _opener(url: str, ca: Path | None) -> urllib.request.OpenerDirector:
    if urlsplit(url).scheme == "http":
        # A server on this machine is not behind a proxy.
        return opener(ca, urllib.request.ProxyHandler({}))
    return opener(ca)


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return a whole body.

    Raises:
        ValueError: It is too large, or comes too slowly.
    """
    pieces, size = [], 0
    while piece := response.read1(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _BYTES:
            raise ValueError(f"it has more than {_BYTES} bytes")
        if time.monotonic() > deadline:
            raise ValueError(f"it took longer than {_WHOLE:g} s")
    return b"".join(pieces)
