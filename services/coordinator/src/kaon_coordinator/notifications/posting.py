"""Posts JSON to a server: bounded in time, without redirections."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kaon_wire.errors import Unavailable

_SECONDS = 10.0
# Of an answer that refuses.
_BYTES = 300


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another server is not the one that the operator has named."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirection: the answer counts as an error."""


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
    context = ssl.create_default_context(cafile=ca)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context), _NoRedirects()
    )
    try:
        with opener.open(request, timeout=_SECONDS):
            return
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(_BYTES).decode("utf-8", "replace")
        raise Unavailable(f"{server} answers {error.code}: {told or error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{server} cannot be reached: {error}") from None
