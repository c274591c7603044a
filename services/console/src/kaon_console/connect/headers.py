"""What the headers of a call ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed

UNARY_TYPE = "application/proto"
STREAM_TYPE = "application/connect+proto"

_TIMEOUT = re.compile(r"[0-9]{1,10}", re.ASCII)


def media_type(headers: Mapping[str, str]) -> str:
    """Return the type of the body, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def check_version(headers: Mapping[str, str]) -> None:
    """Check that the caller speaks this protocol.

    No form and no page of another origin can send this header without asking first, and the console allows
    nobody.

    Raises:
        CallFailed: it does not.
    """
    if headers.get("connect-protocol-version") != "1":
        raise CallFailed(Code.INVALID_ARGUMENT, "header connect-protocol-version must be 1")


def check_encoding(headers: Mapping[str, str]) -> None:
    """Check that the body is not compressed: the console passes bytes on as they are.

    Raises:
        CallFailed: it is.
    """
    for name in ("content-encoding", "connect-content-encoding"):
        if headers.get(name, "identity") != "identity":
            raise CallFailed(
                Code.UNIMPLEMENTED, f"header {name}: the console takes no compressed requests"
            )


def timeout_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the caller's time-out in seconds; None without one.

    Raises:
        CallFailed: The header is malformed.
    """
    text = headers.get("connect-timeout-ms")
    if text is None:
        return None
    if not _TIMEOUT.fullmatch(text):
        raise CallFailed(
            Code.INVALID_ARGUMENT,
            "header connect-timeout-ms must be milliseconds, of at most ten digits",
        )
    return int(text) / 1000
