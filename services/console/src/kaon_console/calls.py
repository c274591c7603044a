"""One call of the browser: what is passed on of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from kaon_console.connect import headers as asked
from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed
from kaon_console.methods import Method
from kaon_console.tickets import Grant

# As large a request as the services take.
MAX_REQUEST_BYTES = 16 * 1024 * 1024
# Headers of the browser that the services see: none says who calls. The tenant, the name and the roles come from the session.
PASSED_HEADERS = ("traceparent", "idempotency-key")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a listed method, read whole."""

    method: Method
    grant: Grant
    body: bytes
    # Seconds for which the browser waits; None: as long as it takes.
    timeout: float | None
    # The principal's metadata, and the headers that are passed on.
    metadata: tuple[tuple[str, str], ...]


async def read_call(
    request: Request, method: Method, grant: Grant, shown: Sequence[tuple[str, str]]
) -> Call:
    """Read the request of a call.

    Args:
        request: of the browser.
        method: that is called.
        grant: who calls.
        shown: metadata by which the services know who calls.

    Raises:
        CallFailed: it is not one of Connect's, or too large.
        ClientDisconnect: the browser has gone.
    """
    headers = request.headers
    asked.check_version(headers)
    asked.check_encoding(headers)
    return Call(
        method=method,
        grant=grant,
        timeout=asked.timeout_seconds(headers),
        metadata=(
            *shown,
            *((name, headers[name]) for name in PASSED_HEADERS if _fits(headers.get(name))),
        ),
        body=await _body(request),
    )


def _fits(value: str | None) -> bool:
    """Tell whether a header can be metadata of gRPC."""
    return value is not None and value.isascii() and value.isprintable()


async def _body(request: Request) -> bytes:
    told = request.headers.get("content-length", "0")
    if told.isascii() and told.isdigit() and int(told) > MAX_REQUEST_BYTES:
        raise _too_large()
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_REQUEST_BYTES:
            raise _too_large()
        pieces.append(piece)
    return b"".join(pieces)


def _too_large() -> CallFailed:
    return CallFailed(
        Code.RESOURCE_EXHAUSTED, f"a request may have {MAX_REQUEST_BYTES} bytes at most"
    )
