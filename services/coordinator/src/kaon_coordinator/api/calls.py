"""The rules of every call to the coordinator: checks of requests, and details of errors."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from prometheus_client import Histogram

from kaon_coordinator.engine.definition.limits import DEFAULT
from kaon_coordinator.problems import SHOWN_PROBLEMS, Denied, InvalidRequest, Problem
from kaon_service.access.guard import Guard
from kaon_service.interceptors import CallRules
from kaon_service.statuses import StatusTable
from kaon_wire import bounds
from kaon_wire.errors import KaonError
from kaon_wire.statuses import fitting

# Bytes of the problems beside the message: both, and the message again, go into a header of 8 KiB.
_PROBLEM_BYTES = 2_300
_PROBLEM_CHARACTERS = 100

_UNDECODABLE_HINT = (
    ". It is damaged, or nested deeper than 100 messages; the blocks of a "
    f"workflow may be nested as deep as the limit nesting_depth, which is {DEFAULT.nesting_depth} unless set otherwise"
)


def call_rules(guard: Guard, seconds: Histogram | None) -> CallRules:
    """Return the rules of the coordinator's calls.

    The histogram observes the duration of each unary call, by method and status.
    """
    return CallRules(
        statuses=STATUSES,
        guard=guard,
        check=check_bounds,
        undecodable_hint=_UNDECODABLE_HINT,
        seconds=seconds,
    )


def check_bounds(request: Message) -> None:
    """Check a request against the bounds of its fields.

    Raises:
        InvalidRequest: A field exceeds its bound; the error names all such fields with their bounds.
    """
    if found := bounds.violations(request):
        problems = [Problem(field=each.field, text=each.text) for each in found]
        raise InvalidRequest(request.DESCRIPTOR.name, problems)


def _details(error: KaonError) -> Iterable[Message]:
    """Return the details of an `InvalidRequest`: a google.rpc.BadRequest with its problems."""
    return (
        [_bad_request(error.problems[:SHOWN_PROBLEMS])] if isinstance(error, InvalidRequest) else ()
    )


def _bad_request(problems: Iterable[Problem]) -> error_details_pb2.BadRequest:
    """Return as many of the problems as fit."""
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


# How calls, and the requests of a call for many runs, end.
STATUSES = StatusTable(
    service="coordinator",
    codes={Denied: grpc.StatusCode.PERMISSION_DENIED},
    otherwise=grpc.StatusCode.FAILED_PRECONDITION,
    details=_details,
)
