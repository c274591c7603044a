"""The gRPC service that reads the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kaon_service import principal
from kaon_service.audit.store import AuditStore, Wanted
from kaon_wire.audit.messages import head_message, row_message
from kaon_wire.audit.rows import SignedHead
from kaon_wire.errors import InvalidValue
from kaonapi.access.v1 import audit_service_pb2 as a
from kaonapi.access.v1 import audit_service_pb2_grpc

SERVICE = a.DESCRIPTOR.services_by_name["AuditService"].full_name

_PAGE = 100
_LARGEST_PAGE = 1_000


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Answers from the log's database, on threads beside the event loop."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def ListAudit(self, request: a.ListAuditRequest, _context: Any) -> a.ListAuditResponse:  # noqa: N802
        """Answer with the newest rows of the caller's tenant."""
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        wanted = Wanted(
            tenant=principal.current().tenant,
            principal=request.principal,
            method=request.method,
            outcome=request.outcome,
            named=request.text,
            since_us=request.since.ToMicroseconds() if request.HasField("since") else 0,
            until_us=request.until.ToMicroseconds() if request.HasField("until") else 0,
            before_seq=_seq(request.page_token),
            limit=size,
        )
        found = await asyncio.to_thread(self._store.newest, wanted)
        return a.ListAuditResponse(
            rows=[row_message(row) for row in found],
            next_page_token=str(found[-1].seq) if len(found) == size else "",
        )

    async def ExportAudit(  # noqa: N802
        self, _request: a.ExportAuditRequest, _context: Any
    ) -> AsyncIterator[a.ExportAuditResponse]:
        """Send the base and the signed heads, then all rows in order."""
        _, base = await asyncio.to_thread(self._store.ends)
        heads = await asyncio.to_thread(self._store.signed)
        yield a.ExportAuditResponse(
            base=head_message(SignedHead(head=base, time_us=0)),
            heads=[head_message(each) for each in heads],
        )
        seq = base.seq
        while rows := await asyncio.to_thread(self._store.after, seq):
            yield a.ExportAuditResponse(rows=[row_message(row) for row in rows])
            seq = rows[-1].seq


def _seq(token: str) -> int:
    """Return the row before which a page begins.

    Raises:
        InvalidValue: No response had this token.
    """
    if not token:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 18 or int(token) == 0:
        raise InvalidValue("page_token: is not from a response of this service")
    return int(token)
