"""Envelopes of streams: a byte of flags, four bytes of length, the message."""

from __future__ import annotations

import struct

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed, encode

_PREFIX = struct.Struct(">BI")
_COMPRESSED, _END = 0b01, 0b10


def enveloped(message: bytes) -> bytes:
    """Return a message as an envelope of a stream."""
    return _PREFIX.pack(0, len(message)) + message


def end_of_stream(failure: CallFailed | None) -> bytes:
    """Return the last envelope of a stream: it has the error of the call, if any."""
    told = encode({} if failure is None else {"error": failure.as_json()})
    return _PREFIX.pack(_END, len(told)) + told


def only_message(body: bytes) -> bytes:
    """Return the one message in the request of a server stream.

    Raises:
        CallFailed: The body is something else.
    """
    if len(body) < _PREFIX.size:
        raise CallFailed(
            Code.INVALID_ARGUMENT, f"a stream's request needs an envelope of {_PREFIX.size} bytes"
        )
    flags, length = _PREFIX.unpack_from(body)
    if flags & _COMPRESSED:
        raise CallFailed(Code.UNIMPLEMENTED, "the console takes no compressed requests")
    if flags:
        raise CallFailed(
            Code.INVALID_ARGUMENT,
            f"the envelope of a request has no flags, this one has {flags:#x}",
        )
    if len(body) != _PREFIX.size + length:
        found = len(body) - _PREFIX.size
        raise CallFailed(
            Code.INVALID_ARGUMENT,
            f"the envelope tells of {length} bytes, and {found} follow: send one message",
        )
    return body[_PREFIX.size :]
