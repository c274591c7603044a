"""What every request must pass, and what every answer carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_DEFAULT_PORTS = {"http": 80, "https": 443}
# A response that says nothing of its own is no page: it may load nothing and stand in no frame.
NOTHING = "default-src 'none'; frame-ancestors 'none'"
# What an answer does not set itself.
_HEADERS: Mapping[str, str] = {
    "content-security-policy": NOTHING,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a request is not served."""

    status: int
    text: str


class Guard:
    """Refuses what does not come from a page of this console, and adds headers to every answer.

    Args:
        app: gets the other requests.
        origins: how browsers reach the console.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._hosts = frozenset(host for origin in self._origins for host in _hosts(origin))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        sending = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, sending)
            return
        log.warning(
            "request refused", path=scope["path"], status=refusal.status, reason=refusal.text
        )
        answer = PlainTextResponse(refusal.text + "\n", refusal.status, {"connection": "close"})
        await answer(scope, receive, sending)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self._hosts:
            return Refusal(
                status=421, text="this console does not serve that host (KAON_CONSOLE_ORIGINS)"
            )
        if not scope["path"].startswith("/"):
            return Refusal(status=400, text="the target of a request must be a path")
        if scope["method"] in {"GET", "HEAD"}:
            return _read_refusal(scope["path"], headers)
        if scope["method"] == "POST":
            return self._write_refusal(headers)
        return Refusal(status=405, text="use GET or POST")

    def _write_refusal(self, headers: Headers) -> Refusal | None:
        origin = headers.getlist("origin")
        if len(origin) != 1 or origin[0].lower() not in self._origins:
            return Refusal(status=403, text="header origin must name this console")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return Refusal(status=403, text="pages of other sites may not call this console")
        return None


def _read_refusal(path: str, headers: Headers) -> Refusal | None:
    """Return why a read is refused: other sites may link to a page, but load nothing."""
    if headers.get("sec-fetch-site", "none") in {"none", "same-origin"}:
        return None
    leads_to_page = (
        headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    )
    if leads_to_page and not path.startswith(("/preview/", "/log/")):
        return None
    return Refusal(status=403, text="pages of other sites may load nothing from this console")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _hosts(origin: str) -> Iterable[str]:
    """Return the values of the header host that belong to an origin: browsers omit the default port."""
    parts = urlsplit(origin)
    usual = _DEFAULT_PORTS[parts.scheme]
    host = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    port = parts.port or usual
    return [f"{host}:{port}", host] if port == usual else [f"{host}:{port}"]
