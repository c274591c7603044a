"""Errors of calls, and how they are told to the browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2  # type: ignore[import-untyped]

from kaon_console.connect.codes import Code, code_of

# How gRPC's own errors begin when a connection is refused or breaks.
_GONE = (
    "failed to connect",
    "Socket closed",
    "Connection reset",
    "Broken pipe",
    "recvmsg",
    "sendmsg",
)
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One message beside the text of an error, still encoded."""

    # Full name of its type, such as google.rpc.BadRequest.
    type: str
    value: bytes


class CallFailed(Exception):
    """A call has ended with an error.

    Args:
        code: of gRPC.
        message: for people.
        details: beside the message.
    """

    def __init__(self, code: Code, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = tuple(details)

    def as_json(self) -> Mapping[str, Any]:
        """Return the error in Connect's JSON."""
        told: dict[str, Any] = {"code": self.code.text}
        if self.message:
            told["message"] = self.message
        if self.details:
            told["details"] = [
                {"type": each.type, "value": _base64(each.value)} for each in self.details
            ]
        return told

    def encoded(self) -> bytes:
        """Return the body of a failed unary call."""
        return encode(self.as_json())


def encode(value: Mapping[str, Any]) -> bytes:
    """Encode JSON in ASCII, whatever the messages contain."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def failure_of(error: grpc.aio.AioRpcError, *, service: str, address: str) -> CallFailed:
    """Take an error of gRPC over, with its details.

    Args:
        error: how the call has ended.
        service: whom it has asked, for people.
        address: where that was looked for.
    """
    code = code_of(error.code().value[0])
    message = error.details() or ""
    if code is Code.UNAVAILABLE and message.startswith(_GONE):
        message = f"the {service} at {address} does not answer"
    return CallFailed(code, message, _details(error))


def _details(error: grpc.aio.AioRpcError) -> list[Detail]:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return _decoded(value)
    return []


def _decoded(value: bytes) -> list[Detail]:
    try:
        status = status_pb2.Status.FromString(value)
    except DecodeError:
        # The code and the message are still known.
        return []
    return [
        Detail(type=each.type_url.rpartition("/")[2], value=each.value) for each in status.details
    ]


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii").rstrip("=")
