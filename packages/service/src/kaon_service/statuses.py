"""From Kaon's errors to gRPC statuses. Nowhere else is a status code chosen."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from kaon_service.errors import DatabaseUnavailable
from kaon_wire.errors import Conflict, InvalidValue, KaonError, NotFound, Unavailable
from kaon_wire.statuses import fitting

log = structlog.get_logger(__name__)

_COMMON: Mapping[type[KaonError], grpc.StatusCode] = {
    InvalidValue: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, kw_only=True)
class StatusTable:
    """How the errors of one service are told."""

    # The service whose log has what clients are not told, such as "coordinator".
    service: str
    # Codes of errors that only this service has.
    codes: Mapping[type[KaonError], grpc.StatusCode] = field(default_factory=dict)
    # The code of any other `KaonError`.
    otherwise: grpc.StatusCode
    # Messages of google.rpc that go beside the text of an error.
    details: Callable[[KaonError], Iterable[Message]] = lambda _error: ()

    def status_of(self, error: Exception, method: str) -> grpc.Status:
        """The status that tells an error, which is logged. Of one that nobody has foreseen, and of what a database says, only a
        reference to the log is told."""
        if not isinstance(error, KaonError):
            return self._referring(grpc.StatusCode.INTERNAL, "internal error", method, exc_info=error)
        if isinstance(error, DatabaseUnavailable):
            return self._referring(
                self._code(error), "the database does not answer", method, error=str(error)
            )
        log.info("call refused", method=method, error=str(error))
        return _status(self._code(error), str(error), self.details(error))

    def code_name(self, error: Exception) -> str:
        """The name of the status that tells an error."""
        return self._code(error).name if isinstance(error, KaonError) else grpc.StatusCode.INTERNAL.name

    def _code(self, error: KaonError) -> grpc.StatusCode:
        codes = {**self.codes, **_COMMON}
        return next((code for kind, code in codes.items() if isinstance(error, kind)), self.otherwise)

    def _referring(self, code: grpc.StatusCode, words: str, method: str, **logged: object) -> grpc.Status:
        """Logs an error, and tells the reference under which it stands there."""
        reference = uuid.uuid4().hex[:12]
        log.error("call failed", method=method, reference=reference, **logged)
        return _status(code, f"{words}: the {self.service}'s log tells more under {reference}", ())


def _status(code: grpc.StatusCode, message: str, details: Iterable[Message]) -> grpc.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    told = status_pb2.Status(code=code.value[0], message=fitting(message), details=packed)
    status: grpc.Status = rpc_status.to_status(told)
    return status
