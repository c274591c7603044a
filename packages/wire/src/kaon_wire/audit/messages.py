"""Rows and heads of the audit log as messages."""

from __future__ import annotations

from dataclasses import asdict, fields

from kaon_wire.audit.rows import AuditCall, AuditRow, Head, SignedHead
from kaonapi.access.v1 import audit_service_pb2 as a

_CALL = tuple(each.name for each in fields(AuditCall))


def row_message(row: AuditRow) -> a.AuditRow:
    """Convert to a protocol message."""
    return a.AuditRow(seq=row.seq, previous=row.previous, digest=row.digest, **asdict(row.call))


def row_of(told: a.AuditRow) -> AuditRow:
    """Convert from a protocol message."""
    call = AuditCall(**{name: getattr(told, name) for name in _CALL})
    return AuditRow(seq=told.seq, call=call, previous=told.previous, digest=told.digest)


def head_message(signed: SignedHead) -> a.AuditHead:
    """Convert to a protocol message."""
    return a.AuditHead(
        seq=signed.head.seq,
        digest=signed.head.digest,
        time_us=signed.time_us,
        signature=signed.signature,
    )


def head_of(told: a.AuditHead) -> SignedHead:
    """Convert from a protocol message."""
    return SignedHead(
        head=Head(seq=told.seq, digest=told.digest), time_us=told.time_us, signature=told.signature
    )
