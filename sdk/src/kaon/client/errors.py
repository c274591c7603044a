"""The errors of the client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from kaon_wire.errors import Conflict, Exhausted, InvalidValue, KaonError, NotFound, Unavailable
from kaonapi.run.v1 import run_service_pb2

__all__ = [
    "AccessDenied",
    "Conflict",
    "Exhausted",
    "InvalidValue",
    "KaonError",
    "NotAuthenticated",
    "NotFound",
    "ServerError",
    "Unavailable",
    "of_refusal",
    "translated",
]


class AccessDenied(KaonError):
    """The principal lacks a role or a tenant that the call needs."""


class NotAuthenticated(AccessDenied):
    """The call shows no valid credentials."""


class ServerError(KaonError):
    """The service failed; the caller is not at fault."""


# What gives the address of a service.
COORDINATOR = "--server or KAON_SERVER"
PUBLISHER = "KAON_PUBLISHER"

_KINDS: dict[grpc.StatusCode, type[KaonError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidValue,
    grpc.StatusCode.OUT_OF_RANGE: InvalidValue,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.UNAUTHENTICATED: NotAuthenticated,
}

# What is told of a connection that the server has ended.
_BROKEN = frozenset({"Socket closed", "Connection reset by peer"})


@contextmanager
def translated(address: str, setting: str = COORDINATOR) -> Iterator[None]:
    """Convert errors of gRPC into errors of Kaon; `address` is named when no service answers, and `setting`, which gives it.

    Raises:
        KaonError: one of the kinds above.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise _translate(error, address, setting) from error
    except ValueError as error:
        # What gRPC raises has no kind of its own.
        if "closed channel" not in str(error):
            raise
        raise KaonError(f"the client of {address} was closed") from error


def of_refusal(refusal: run_service_pb2.SubmissionRefusal) -> KaonError:
    """Return the error of a submission that a coordinator has refused."""
    if refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]:
        return Exhausted(refusal.message, refusal.retry_ms / 1000)
    kinds = {code.value[0]: kind for code, kind in _KINDS.items()}
    return kinds.get(refusal.code, ServerError)(refusal.message)


def _translate(error: grpc.RpcError, address: str, setting: str) -> KaonError:
    # What a stub raises is a grpc.Call too, which the types do not say.
    call: Any = error
    code: grpc.StatusCode = call.code() if hasattr(call, "code") else grpc.StatusCode.UNKNOWN
    details = (call.details() if hasattr(call, "details") else None) or str(error)
    kind = _KINDS.get(code, ServerError)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ServerError(f"the service at {address} does not support this call: {details}")
    if kind is Unavailable:
        details = details.rsplit(": ", 1)[-1]  # of a chain of causes the last is the one that helps
        # How a server that speaks TLS ends what does not.
        tls = ", or KAON_TLS_CA where it speaks TLS" if details in _BROKEN else ""
        return Unavailable(
            f"no answer from {address} ({details}); check that it runs, or set {setting}{tls}"
        )
    if kind is ServerError:
        return ServerError(f"{address} failed ({code.name}): {details}")
    return kind(details)
