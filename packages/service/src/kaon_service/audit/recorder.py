"""Makes rows of the audit log of the calls that a service has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from google.protobuf.message import Message

from kaon_service.access.recording import CallRecord
from kaon_service.access.table import TABLE
from kaon_service.audit.log import AuditLog
from kaon_service.audit.named import digest, named
from kaon_wire.audit.rows import AuditCall

# Who gets one of these was not let in, or not let further, or has asked for what may be another tenant's.
_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "RESOURCE_EXHAUSTED"})

# Rows that are made without a pause.
_PIECE = 20


class AuditRecorder:
    """Records changes and refusals, before their callers hear of their end.

    Args:
        log: Keeps the rows.
        now_us: Returns microseconds since the epoch.
        reads: Whether calls that only read are recorded, too.
    """

    def __init__(self, log: AuditLog, now_us: Callable[[], int], *, reads: bool) -> None:
        self._log = log
        self._now_us = now_us
        self._reads = reads

    async def recorded(self, call: CallRecord) -> None:
        """Record the call, if it is of those that are recorded.

        Raises:
            Unavailable: The log's database does not answer.
        """
        if not (self._reads or call.outcome in _REFUSALS or _changes(call.method)):
            return
        if not call.parts:
            await self._log.record(self._row(call, call.request, call.outcome))
            return
        rows = []
        for number, part in enumerate(call.parts, 1):
            rows.append(self._row(call, part.request, part.outcome or call.outcome))
            if number % _PIECE == 0:
                # Others go on.
                await asyncio.sleep(0)
        await self._log.record(*rows)

    def _row(self, call: CallRecord, request: Message | None, outcome: str) -> AuditCall:
        caller = call.principal
        return AuditCall(
            time_us=self._now_us(),
            tenant=caller.tenant if caller else "",
            principal=caller.name if caller else "",
            authentication=caller.authentication if caller else "",
            method=call.method.removeprefix("/"),
            named=named(request) if request is not None else "",
            outcome=outcome,
            request_digest=digest(request) if request is not None else "",
        )


def _changes(method: str) -> bool:
    access = TABLE.get(method)
    return access is not None and access.audited
