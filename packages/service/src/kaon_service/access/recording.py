"""What is told of each call when it has ended, for the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from kaon_service.principal import Principal


@dataclass(kw_only=True)
class Part:
    """A request within the request of a call, which counts as a call of its own."""

    request: Message
    # Name of the status; empty: that of the whole call.
    outcome: str = ""


@dataclass(kw_only=True)
class CallRecord:
    """One call. It is filled while the call goes on, and told when it ends."""

    # Such as "/kaonapi.run.v1.RunService/GetRun".
    method: str
    # None when the caller was refused as unauthenticated.
    principal: Principal | None = None
    # The request, or the first one of a stream; None when none was read, or it was no message.
    request: Message | None = None
    # Name of the status, such as "OK" or "PERMISSION_DENIED".
    outcome: str = "OK"
    # Recorded in place of the call, unless there are none.
    parts: Sequence[Part] = ()


_current: ContextVar[CallRecord] = ContextVar("call_record")


def enter(record: CallRecord) -> None:
    """Make a record that of this task's call."""
    _current.set(record)


def divide(parts: Sequence[Part]) -> None:
    """Record the parts of this task's call, where there is a call, each by itself."""
    record = _current.get(None)
    if record is not None:
        record.parts = parts


class Recorder(Protocol):
    """Is told of every call of Kaon's services, also of refused ones."""

    async def recorded(self, call: CallRecord) -> None:
        """Take the record of a call that has ended, before the caller hears of its end.

        Raises:
            KaonError: The record cannot be kept; the call fails with this error.
        """


class NoRecorder:
    """Keeps nothing."""

    async def recorded(self, call: CallRecord) -> None:
        """Ignore the call."""
