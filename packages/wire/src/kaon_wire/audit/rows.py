"""Rows of the audit log, their chain and the signatures of its heads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kaon_wire import canonical

# What the first row holds in place of a hash.
NOTHING = "0" * 64


@dataclass(frozen=True, kw_only=True)
class AuditCall:
    """What is recorded of one call, or of several alike that came at the same time."""

    # Microseconds since the epoch.
    time_us: int
    tenant: str
    # Name of the caller; empty when it was not authenticated.
    principal: str
    # "off", "token", "oidc", "certificate" or "service"; empty when it was not authenticated.
    authentication: str
    # Such as "kaonapi.run.v1.RunService/CancelRun".
    method: str
    # What the request names, such as "run_id=r1 path=train"; never a value of the user's.
    named: str
    # Name of the gRPC status.
    outcome: str
    # SHA-256 of the request's deterministic bytes, in hexadecimal digits; empty for a stream of requests.
    request_digest: str
    # Calls that this row stands for.
    calls: int = 1

    def fields(self) -> dict[str, Any]:
        """Return all fields by their names: each is a text or a number, so none need be copied deeply."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class AuditRow:
    """One row of the chain."""

    seq: int
    call: AuditCall
    # Hash of the row before; `NOTHING` in the first.
    previous: str
    # Hash of this row: SHA-256 of the row before's hash, the number and the call, as canonical JSON.
    digest: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """A place in the chain: up to here, everything is as its hash says."""

    seq: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class SignedHead:
    """A head with the time and the signature of a service."""

    head: Head
    time_us: int
    # Ed25519 over `statement`; empty without a key.
    signature: bytes = b""


START = Head(seq=0, digest=NOTHING)


def digest_of(previous: str, seq: int, call: AuditCall) -> str:
    """Return the hash of a row."""
    text = canonical.dumps({"previous": previous, "seq": seq, **call.fields()})
    return hashlib.sha256(text.encode()).hexdigest()


def chained(head: Head, calls: Iterable[AuditCall]) -> Iterator[AuditRow]:
    """Yield the rows that follow a head."""
    seq, previous = head.seq, head.digest
    for call in calls:
        seq += 1
        digest = digest_of(previous, seq, call)
        yield AuditRow(seq=seq, call=call, previous=previous, digest=digest)
        previous = digest


def statement(head: Head, time_us: int) -> bytes:
    """Return what is signed of a head."""
    told = {"audit_head": head.seq, "digest": head.digest, "time_us": time_us}
    return canonical.dumps(told).encode()


def merged(calls: Iterable[AuditCall]) -> list[AuditCall]:
    """Return the calls in order, with refusals that are alike as one, so that a flood of them stays one row a batch."""
    kept: dict[object, AuditCall] = {}
    for number, call in enumerate(calls):
        key: object = number
        if call.outcome != "OK":
            key = (call.tenant, call.principal, call.method, call.named, call.outcome)
        known = kept.get(key)
        kept[key] = call if known is None else replace(known, calls=known.calls + call.calls)
    return list(kept.values())
