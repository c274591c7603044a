"""Converts Kaon's errors to gRPC statuses. Status codes are chosen nowhere else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from kaon_service.access.credentials import Forbidden, Unauthenticated
from kaon_service.errors import DatabaseFull, DatabaseUnavailable
from kaon_wire.errors import Conflict, Exhausted, InvalidValue, KaonError, NotFound, Unavailable
from kaon_wire.statuses import fitting

log = structlog.get_logger(__name__)

_COMMON: Mapping[type[KaonError], grpc.StatusCode] = {
    InvalidValue: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, kw_only=True)
class StatusTable:
    """The statuses of one service's errors."""

    # The service whose log has the details withheld from clients, such as "coordinator".
    service: str
    # Codes of errors that only this service has.
    codes: Mapping[type[KaonError], grpc.StatusCode] = field(default_factory=dict)
    # The code of any other `KaonError`.
    otherwise: grpc.StatusCode
    # Messages of google.rpc beside the text of an error.
    details: Callable[[KaonError], Iterable[Message]] = lambda _error: ()

    def status_of(self, error: Exception, method: str) -> grpc.Status:
        """Return the status of an error, and log the error.

        Of an unforeseen error or one of the database, the status contains only a reference to the log.
        """
        if isinstance(error, KaonError) and not isinstance(error, DatabaseUnavailable):
            # Clients are not told which part of their credentials was wrong.
            why = error.reason if isinstance(error, Unauthenticated) else str(error)
            log.info("call refused", method=method, error=why)
        code, message = self.told(error, method)
        details = (
            [*self.details(error), *_when_again(error)] if isinstance(error, KaonError) else ()
        )
        return _status(code, message, details)

    def told(self, error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
        """Return the code and the text of an error. Log what the text withholds, and no other refusal."""
        if not isinstance(error, KaonError):
            return grpc.StatusCode.INTERNAL, self._referring(
                "internal error", method, exc_info=error
            )
        if isinstance(error, DatabaseUnavailable):
            is_full = isinstance(error, DatabaseFull)
            words = "the database's disk is full" if is_full else "the database does not answer"
            return self._code(error), self._referring(words, method, error=str(error))
        return self._code(error), str(error)

    def code_name(self, error: Exception) -> str:
        """Return the name of an error's status."""
        return (
            self._code(error).name
            if isinstance(error, KaonError)
            else grpc.StatusCode.INTERNAL.name
        )

    def _code(self, error: KaonError) -> grpc.StatusCode:
        codes = {**self.codes, **_COMMON}
        return next(
            (code for kind, code in codes.items() if isinstance(error, kind)), self.otherwise
        )

    def _referring(self, words: str, method: str, **logged: object) -> str:
        """Log an error, and return a text with its reference in the log."""
        reference = uuid.uuid4().hex[:12]
        log.error("call failed", method=method, reference=reference, **logged)
        return f"{words}; the {self.service}'s log tells more under {reference}"


def name_of(code: int) -> str:
    """Return the name of a status, given by the number of its code."""
    return _NAMES[code]


def _when_again(error: KaonError) -> Iterable[Message]:
    """Return the detail that tells programs when to try again, if it is known."""
    if isinstance(error, Exhausted) and error.retry_seconds > 0:
        told = error_details_pb2.RetryInfo()
        told.retry_delay.FromMilliseconds(int(error.retry_seconds * 1000) + 1)
        yield told


def _status(code: grpc.StatusCode, message: str, details: Iterable[Message]) -> grpc.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    told = status_pb2.Status(code=code.value[0], message=fitting(message), details=packed)
    status: grpc.Status = rpc_status.to_status(told)
    return status
