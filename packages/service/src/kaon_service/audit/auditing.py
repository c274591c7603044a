"""The audit log as a part of a service: its recorder, its gRPC service and its upkeep."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from grpc import aio

from kaon_service.access.recording import NoRecorder, Recorder
from kaon_service.audit.log import AuditLog
from kaon_service.audit.recorder import AuditRecorder
from kaon_service.audit.servicer import SERVICE, AuditServicer
from kaon_service.audit.settings import AuditSettings, Recorded
from kaon_service.audit.store import AuditStore
from kaon_wire.errors import Unavailable
from kaonapi.access.v1 import audit_service_pb2_grpc


class Auditing:
    """Keeps the audit log of one service, or none when the settings say so.

    Args:
        settings: What is recorded, and how it is kept.
        database: URL of the service's database.
        now_us: Returns microseconds since the epoch.

    Raises:
        Unavailable: The database does not answer.
    """

    def __init__(self, settings: AuditSettings, database: str, now_us: Callable[[], int]) -> None:
        self._log: AuditLog | None = None
        # Is told of every call.
        self.recorder: Recorder = NoRecorder()
        if settings.recorded is not Recorded.OFF:
            self._log = AuditLog(AuditStore(settings.database or database), settings.rules, now_us)
            self.recorder = AuditRecorder(
                self._log, now_us, reads=settings.recorded is Recorded.ALL
            )

    @property
    def services(self) -> tuple[str, ...]:
        """Return the full names of the services that `add_to` adds."""
        return (SERVICE,) if self._log is not None else ()

    def add_to(self, server: aio.Server) -> None:
        """Add the gRPC service that reads the log."""
        if self._log is not None:
            servicer = AuditServicer(self._log.store)
            audit_service_pb2_grpc.add_AuditServiceServicer_to_server(servicer, server)

    @property
    def keeps(self) -> bool:
        """Return whether there is a log."""
        return self._log is not None

    async def run(self) -> NoReturn:
        """Sign heads, and forget what is old, for ever.

        Raises:
            Unavailable: There is no log.
        """
        if self._log is None:
            raise Unavailable("no audit log is kept")
        await self._log.run()

    async def close(self) -> None:
        """Write what waits, and close the database."""
        if self._log is not None:
            await self._log.close()
