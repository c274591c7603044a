"""What the publisher asks of every call, and how it tells its errors."""

from __future__ import annotations

import grpc
from sqlalchemy.exc import SQLAlchemyError

from kaon_service.interceptors import CallRules
from kaon_service.statuses import StatusTable
from kaon_wire.errors import KaonError


def _rewording(error: KaonError) -> str:
    """What a database says stays in the log."""
    return "the models' database does not answer" if isinstance(error.__cause__, SQLAlchemyError) else ""


CALL_RULES = CallRules(
    statuses=StatusTable(service="publisher", otherwise=grpc.StatusCode.UNAVAILABLE, rewording=_rewording)
)
