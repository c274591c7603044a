"""The client of Kaon's services."""

from kaon.client.asynchronous import AsyncClient
from kaon.client.channel import Endpoints
from kaon.client.client import Client
from kaon.client.errors import (
    AccessDenied,
    Conflict,
    InvalidValue,
    KaonError,
    NotFound,
    ServerError,
    Unavailable,
)
from kaon.client.handle import PrintedLine, RunFailed, RunHandle
from kaon.client.many import NotAllSubmitted
from kaon.client.models import Models
from kaon.client.retrying import Patience
from kaon.client.schedules import Schedules

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Client",
    "Conflict",
    "Endpoints",
    "InvalidValue",
    "KaonError",
    "Models",
    "NotAllSubmitted",
    "NotFound",
    "Patience",
    "PrintedLine",
    "RunFailed",
    "RunHandle",
    "Schedules",
    "ServerError",
    "Unavailable",
]
