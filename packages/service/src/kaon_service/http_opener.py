"""Opens URLs that an administrator has named, and follows nobody elsewhere."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path
from typing import Any


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another server is not the one that the administrator has named."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirection: the answer counts as an error."""


def opener(ca: Path | None, *handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """Return an opener that trusts the authorities of a file, or the system's, and follows no redirection."""
    context = ssl.create_default_context(cafile=ca)
    return urllib.request.build_opener(
        *handlers, urllib.request.HTTPSHandler(context=context), _NoRedirects()
    )
