"""The rules of every call to the publisher, and the statuses of its errors."""

from __future__ import annotations

import grpc

from kaon_service import principal
from kaon_service.interceptors import CallRules
from kaon_service.statuses import StatusTable

CALL_RULES = CallRules(
    statuses=StatusTable(service="publisher", otherwise=grpc.StatusCode.UNAVAILABLE),
    enter=principal.enter,
)
