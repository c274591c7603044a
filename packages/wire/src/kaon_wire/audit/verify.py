"""Finds out whether an audit log is what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kaon_wire.audit.rows import AuditRow, Head, SignedHead, digest_of

# Tells whether a head's signature is by a known key.
Valid: TypeAlias = Callable[[SignedHead], bool]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a verification found."""

    # Rows that were read.
    rows: int
    # The last row.
    head: Head
    # Signed heads whose signature is valid and whose hash the chain has.
    signed: int
    # The last row that a valid signature covers; 0: none. What follows is only chained.
    covered: int
    # What is wrong, in words; empty: nothing.
    problems: tuple[str, ...]


def verify(
    base: Head,
    rows: Iterable[AuditRow],
    signed: Sequence[SignedHead],
    valid: Valid | None,
) -> Verdict:
    """Follow the chain from its base, and compare it with the signed heads.

    Args:
        base: The place before the first row that is kept: `START`, or where retention has cut.
        rows: In order.
        signed: Heads as they were signed, in order.
        valid: Checks signatures; None: they are not looked at.
    """
    by_seq = {each.head.seq: each for each in signed}
    problems = _about_base(base, by_seq, valid)
    good = covered = count = 0
    head = base
    for row in rows:
        problems += _about_row(head, row)
        head = Head(seq=row.seq, digest=row.digest)
        count += 1
        if (told := by_seq.get(row.seq)) is not None:
            wrong = _about_head(told, head, valid)
            problems += wrong
            if not wrong and valid is not None:
                good, covered = good + 1, row.seq
    beyond = [each.head.seq for each in signed if each.head.seq > head.seq]
    if beyond:
        problems.append(
            f"rows {head.seq + 1} to {max(beyond)} are missing: a head was signed behind them"
        )
    return Verdict(rows=count, head=head, signed=good, covered=covered, problems=tuple(problems))


def _about_base(base: Head, by_seq: dict[int, SignedHead], valid: Valid | None) -> list[str]:
    if base.seq == 0 or valid is None:
        return []
    told = by_seq.get(base.seq)
    if told is None:
        return [f"the log begins after row {base.seq}, which no signed head tells"]
    return _about_head(told, base, valid)


def _about_row(head: Head, row: AuditRow) -> list[str]:
    if row.seq != head.seq + 1:
        return [f"row {row.seq} follows row {head.seq}: rows between them are missing or twice"]
    if row.previous != head.digest:
        return [
            f"row {row.seq} does not follow row {head.seq}: one of them was changed or inserted"
        ]
    if row.digest != digest_of(row.previous, row.seq, row.call):
        return [f"row {row.seq} was changed: its hash is another"]
    return []


def _about_head(told: SignedHead, head: Head, valid: Valid | None) -> list[str]:
    if told.head.digest != head.digest:
        return [f"row {head.seq} is another than the one whose head was signed"]
    if valid is not None and not valid(told):
        return [f"the signature of the head at row {head.seq} is by none of the given keys"]
    return []
