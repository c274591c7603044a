"""From Kaon's errors to gRPC statuses. Nowhere else is a status code chosen."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from kaon_coordinator.problems import SHOWN_PROBLEMS, Denied, InvalidRequest, Problem
from kaon_wire.errors import Conflict, InvalidValue, KaonError, NotFound, Unavailable

# Statuses travel in headers, which gRPC bounds at 8 KiB by default.
_MESSAGE_CHARACTERS = 2_000

_CODES: tuple[tuple[type[KaonError], grpc.StatusCode], ...] = (
    (InvalidValue, grpc.StatusCode.INVALID_ARGUMENT),
    (Denied, grpc.StatusCode.PERMISSION_DENIED),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Conflict, grpc.StatusCode.ALREADY_EXISTS),
    (Unavailable, grpc.StatusCode.UNAVAILABLE),
)


def status_of(error: KaonError) -> grpc.Status:
    """The gRPC status that tells an error; an `InvalidRequest` carries a google.rpc.BadRequest with its problems."""
    details = [_bad_request(error.problems[:SHOWN_PROBLEMS])] if isinstance(error, InvalidRequest) else []
    return _status(_code(error), str(error), details)


def code_of(error: Exception) -> str:
    """The name of the status that tells an error."""
    return _code(error).name if isinstance(error, KaonError) else grpc.StatusCode.INTERNAL.name


def internal(reference: str) -> grpc.Status:
    """The status of an error that nobody has foreseen; its text stays in the log, under the reference."""
    text = f"internal error: the coordinator's log tells more under {reference}"
    return _status(grpc.StatusCode.INTERNAL, text, ())


def _code(error: KaonError) -> grpc.StatusCode:
    return next(
        (code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.FAILED_PRECONDITION
    )


def _bad_request(problems: Iterable[Problem]) -> error_details_pb2.BadRequest:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=problem.field[:100], description=problem.text[:100])
        for problem in problems
    ]
    return error_details_pb2.BadRequest(field_violations=violations)


def _status(
    code: grpc.StatusCode, message: str, details: Iterable[error_details_pb2.BadRequest]
) -> grpc.Status:
    if len(message) > _MESSAGE_CHARACTERS:
        message = message[:_MESSAGE_CHARACTERS] + " ..."
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    told = status_pb2.Status(code=code.value[0], message=message, details=packed)
    status: grpc.Status = rpc_status.to_status(told)
    return status
