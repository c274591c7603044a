"""What the publisher asks of every call, and how it tells its errors."""

from __future__ import annotations

import grpc

from kaon_service.interceptors import CallRules
from kaon_service.statuses import StatusTable

CALL_RULES = CallRules(statuses=StatusTable(service="publisher", otherwise=grpc.StatusCode.UNAVAILABLE))
