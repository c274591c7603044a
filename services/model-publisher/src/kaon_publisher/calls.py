"""The rules of every call to the publisher, and the statuses of its errors."""

from __future__ import annotations

import grpc

from kaon_service.access.guard import Guard
from kaon_service.interceptors import CallRules
from kaon_service.statuses import StatusTable


def call_rules(guard: Guard) -> CallRules:
    """Return the rules of the publisher's calls."""
    statuses = StatusTable(service="publisher", otherwise=grpc.StatusCode.UNAVAILABLE)
    return CallRules(statuses=statuses, guard=guard)
