"""What can be wrong with the credentials of a call, and how each method must answer. Made for every method from its entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from oidc_issuer import LONG, private_key, unsigned

from access.closed_system import ClosedSystem
from kaon_service.access.table import TABLE, Access
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.lease_tokens import LEASE_KEY

Metadata = list[tuple[str, str]]
UNKNOWN, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
_SECONDS = 30


def bearer(token: str) -> Metadata:
    """The metadata with a token."""
    return [("authorization", f"Bearer {token}")]


def _now(seconds: int) -> int:
    return int(time.time()) + seconds


# Nobody is known by these.
NOBODY: Mapping[str, Callable[[ClosedSystem], Metadata]] = {
    "no token": lambda closed: [],
    "names of before": lambda closed: [("kaon-tenant", "shop"), ("kaon-roles", "platform-admin")],
    "garbage": lambda closed: bearer("garbage"),
    "garbage of three parts": lambda closed: bearer("a.b.c"),
    "another scheme": lambda closed: [("authorization", f"Basic {closed.tokens['valid']}")],
    "an unknown token": lambda closed: bearer("kaon_0000000000000000_" + "0" * 64),
    "another secret": lambda closed: bearer(closed.tokens["valid"][:-8] + "00000000"),
    "an expired token": lambda closed: bearer(closed.tokens["expired"]),
    "a revoked token": lambda closed: bearer(closed.tokens["revoked"]),
    "algorithm none": lambda closed: bearer(
        unsigned(closed.issuer.claims(roles="admins"), {"alg": "none", "kid": "rs256"})
    ),
    "another key": lambda closed: bearer(closed.issuer.token(key=private_key("RS256", 1))),
    "another issuer": lambda closed: bearer(closed.issuer.token(iss="https://id.example.org")),
    "another audience": lambda closed: bearer(closed.issuer.token(aud="elsewhere")),
    "an expired JWT": lambda closed: bearer(closed.issuer.token(exp=_now(-LONG))),
    "not yet valid": lambda closed: bearer(closed.issuer.token(nbf=_now(LONG))),
    "signed by no service": lambda closed: [("kaon-service", closed.not_ours())],
    "signed by a service long ago": lambda closed: [
        ("kaon-service", closed.passed_on(Principal(name="ann"), -LONG))
    ],
}


def _lacking(needed: Role) -> list[str]:
    """The most that one can hold without a role."""
    held = [role for role in Role if needed not in included([role])]
    return [*held, "risk-board"]


def refusals(access: Access) -> Mapping[str, Callable[[ClosedSystem], Metadata]]:
    """Known callers whom a method refuses."""
    found: dict[str, Callable[[ClosedSystem], Metadata]] = {
        "a disabled tenant": lambda closed: bearer(
            closed.issuer.token(tenant="closed", roles="tenant-admin")
        ),
        "a tenant that nobody has made": lambda closed: bearer(
            closed.issuer.token(tenant="none", roles="tenant-admin")
        ),
        "another tenant": lambda closed: [
            *bearer(closed.issuer.token(tenant="bank", roles="tenant-admin")),
            ("kaon-tenant", "shop"),
        ],
        "another tenant, passed on": lambda closed: [
            ("kaon-service", _passed(closed, tenant="bank")),
            ("kaon-tenant", "shop"),
        ],
    }
    if (role := access.role) is not None:
        lacking = _lacking(role)
        found["too low a role"] = lambda closed: bearer(closed.issuer.token(roles=lacking))
        found["too low a role, passed on"] = lambda closed: [
            ("kaon-service", _passed(closed, roles=lacking))
        ]
    for kind in (Kind.RUNNER, Kind.CONSUMER):
        if kind not in access.kinds:
            found[f"a {kind}"] = lambda closed, kind=kind: bearer(closed.tokens[kind])
    if Kind.RUNNER in access.kinds and role is not None:
        found["a runner without a lease"] = lambda closed: bearer(closed.tokens["runner"])
        found["a runner with a forged lease"] = lambda closed: [
            *bearer(closed.tokens["runner"]),
            (LEASE_KEY, "e30="),
        ]
    return found


def _passed(closed: ClosedSystem, *, tenant: str = "shop", roles: list[str] | None = None) -> str:
    held = roles if roles is not None else included([Role.TENANT_ADMIN])
    return closed.passed_on(Principal(tenant=tenant, name="ann", roles=frozenset(held)))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One call that must be refused."""

    name: str
    metadata: Metadata
    code: grpc.StatusCode


def faults_of(closed: ClosedSystem, method: str) -> Iterator[Fault]:
    """Every call of a method that must be refused."""
    for name, make in NOBODY.items():
        yield Fault(name=name, metadata=make(closed), code=UNKNOWN)
    for name, make in refusals(TABLE[method]).items():
        yield Fault(name=name, metadata=make(closed), code=DENIED)


def call(
    channel: grpc.Channel, method: MethodDescriptor, metadata: Metadata
) -> grpc.RpcError | None:
    """Call a method with an empty request; return how it was refused, None when it was answered."""
    shape = (
        f"{'stream' if method.client_streaming else 'unary'}_"
        f"{'stream' if method.server_streaming else 'unary'}"
    )
    path = f"/{method.containing_service.full_name}/{method.name}"
    how: Any = getattr(channel, shape)(path)
    request: Any = iter([b""]) if method.client_streaming else b""
    try:
        answer = how(request, metadata=metadata, timeout=_SECONDS)
        if method.server_streaming:
            next(answer, None)
            answer.cancel()
    except grpc.RpcError as error:
        return error
    return None


def wrong_answers(
    closed: ClosedSystem, channel: grpc.Channel, methods: list[MethodDescriptor]
) -> list[str]:
    """The calls that were not refused as they must be."""
    found = []
    for method in methods:
        path = f"/{method.containing_service.full_name}/{method.name}"
        for fault in faults_of(closed, path):
            error: Any = call(channel, method, fault.metadata)
            told = None if error is None else error.code()
            if told is not fault.code:
                found.append(f"{path}, {fault.name}: {told}, not {fault.code}")
    return found
