"""The client's side of the audit log of one service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import grpc

from kaon.client.calling import Caller
from kaonapi.access.v1 import audit_service_pb2 as a
from kaonapi.access.v1 import audit_service_pb2_grpc


class Audit:
    """`Client.audit` and `Client.models.audit` are one each. Errors are those of `Client`."""

    def __init__(self, caller: Caller, channel: grpc.Channel) -> None:
        self._caller = caller
        self._stub = audit_service_pb2_grpc.AuditServiceStub(channel)

    def list(
        self,
        *,
        principal: str = "",
        method: str = "",
        outcome: str = "",
        text: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> Iterator[a.AuditRow]:
        """Yield rows of the tenant, newest first.

        Args:
            principal: Only calls of this caller.
            method: Only calls of this method, such as "CancelRun".
            outcome: Only calls with this outcome, such as "PERMISSION_DENIED".
            text: Only calls whose named things contain this text.
            since: Only calls at or after this time.
            until: Only calls before this time.
            limit: At most so many.
        """
        request = a.ListAuditRequest(principal=principal, method=method, outcome=outcome, text=text)
        if since is not None:
            request.since.FromDatetime(since.astimezone(UTC))
        if until is not None:
            request.until.FromDatetime(until.astimezone(UTC))
        while limit > 0:
            request.page_size = min(limit, 1_000)
            page = self._caller.call(self._stub.ListAudit, request)
            yield from page.rows
            limit -= len(page.rows)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return

    def export(self) -> Iterator[a.ExportAuditResponse]:
        """Yield the whole log, of all tenants: the base and the signed heads first, then the rows in order."""
        yield from self._caller.stream(self._stub.ExportAudit, a.ExportAuditRequest())
