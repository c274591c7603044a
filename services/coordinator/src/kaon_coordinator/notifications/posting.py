"""Posts JSON to a server: bounded in time, without redirections."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kaon_service.http_opener import opener
from kaon_wire.errors import Unavailable

_SECONDS = 10.0
# Of an answer that refuses.
_BYTES = 300


def post(url: str, body: bytes, headers: Mapping[str, str], ca: Path | None) -> None:
    """Post a JSON body. The URL may be a secret: errors name its server alone.

    Raises:
        Unavailable: The server does not answer, or refuses.
    """
    request = urllib.request.Request(
        url,
        data=body,
        headers={"Content-Type": "application/json", "User-Agent": "kaon", **headers},
        method="POST",
    )
    server = urlsplit(url).netloc.rpartition("@")[2]
    try:
        with opener(ca).open(request, timeout=_SECONDS):
            return
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(_BYTES).decode("utf-8", "replace")
        raise Unavailable(f"{server} answers {error.code}: {told or error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{server} cannot be reached: {error}") from None
