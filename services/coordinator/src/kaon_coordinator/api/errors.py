"""From Kaon's errors to gRPC statuses. Nowhere else is a status code chosen."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from kaon_coordinator.problems import SHOWN_PROBLEMS, Denied, InvalidRequest, Problem
from kaon_wire.errors import Conflict, InvalidValue, KaonError, NotFound, Unavailable
from kaon_wire.statuses import fitting

# Of the problems beside the message: both together, and the message once more, go into a header of 8 KiB.
_PROBLEM_BYTES = 2_300
_PROBLEM_CHARACTERS = 100

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
    """The problems, as many of them as fit."""
    told = error_details_pb2.BadRequest()
    for problem in problems:
        told.field_violations.add(
            field=fitting(problem.field[:_PROBLEM_CHARACTERS]),
            description=fitting(problem.text[:_PROBLEM_CHARACTERS]),
        )
        if told.ByteSize() > _PROBLEM_BYTES:
            del told.field_violations[-1]
            break
    return told


def _status(
    code: grpc.StatusCode, message: str, details: Iterable[error_details_pb2.BadRequest]
) -> grpc.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    told = status_pb2.Status(code=code.value[0], message=fitting(message), details=packed)
    status: grpc.Status = rpc_status.to_status(told)
    return status
