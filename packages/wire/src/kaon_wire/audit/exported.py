"""The exported audit log: one JSON object per line, with everything that a verification needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from kaon_wire import canonical
from kaon_wire.audit.rows import START, AuditCall, AuditRow, Head, SignedHead
from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A whole log."""

    # The place before the first row.
    base: Head
    signed: tuple[SignedHead, ...]
    rows: tuple[AuditRow, ...]


def base_line(base: Head) -> str:
    """Return the line of the place before the first row."""
    return canonical.dumps({"base": asdict(base)})


def head_line(signed: SignedHead) -> str:
    """Return the line of a signed head."""
    told = {"time_us": signed.time_us, "signature": signed.signature.hex()}
    return canonical.dumps({"head": asdict(signed.head) | told})


def row_line(row: AuditRow) -> str:
    """Return the line of a row."""
    return canonical.dumps({"row": asdict(row)})


def parsed(lines: Iterable[str]) -> Exported:
    """Read an exported log.

    Raises:
        InvalidValue: A line is none of such a log; the error names it.
    """
    base, signed, rows = START, [], []
    for number, line in enumerate(lines, start=1):
        try:
            ((kind, told),) = json.loads(line).items()
            if kind == "base":
                base = _head(told)
            elif kind == "head":
                signed.append(_signed(told))
            else:
                rows.append(_row(told))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidValue(f"line {number}: is no line of an exported audit log") from error
    return Exported(base=base, signed=tuple(signed), rows=tuple(rows))


def _head(told: dict[str, Any]) -> Head:
    return Head(seq=int(told["seq"]), digest=str(told["digest"]))


def _signed(told: dict[str, Any]) -> SignedHead:
    return SignedHead(
        head=_head(told), time_us=int(told["time_us"]), signature=bytes.fromhex(told["signature"])
    )


def _row(told: dict[str, Any]) -> AuditRow:
    call = AuditCall(**dict(_fields(told["call"])))
    return AuditRow(
        seq=int(told["seq"]), call=call, previous=str(told["previous"]), digest=str(told["digest"])
    )


def _fields(told: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a call, each of the type that it has."""
    for each in fields(AuditCall):
        value = told[each.name]
        if not isinstance(value, int if each.type == "int" else str):
            raise TypeError(each.name)
        yield each.name, value
