"""Selects lines of a run's logs: by attempt, time and text, or the last ones."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from kaon.dsl.errors import WorkflowError
from kaon.dsl.policies import milliseconds
from kaon.dsl.source import Source
from kaon_wire.errors import InvalidValue
from kaonapi.log.v1 import log_pb2

_NOWHERE = Source(file="", line=0)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which lines are wanted."""

    # 0: those of all attempts.
    attempt: int = 0
    # Microseconds since the epoch; 0: from the first one on.
    since_us: int = 0
    # None: whatever their text is.
    pattern: re.Pattern[str] | None = None

    def of(self, lines: log_pb2.LogLines) -> log_pb2.LogLines | None:
        """Return the wanted part of some lines; None when there is none."""
        if self.attempt and lines.key.attempt != self.attempt:
            return None
        if not self.since_us and self.pattern is None:
            return lines
        found = [line for line in lines.lines if self._wants(line)]
        if not found and (self.since_us or not lines.dropped):
            return None
        told = log_pb2.LogLines(key=lines.key, incarnation=lines.incarnation, lines=found)
        if not self.since_us:
            told.dropped = lines.dropped
            if lines.HasField("gap"):
                told.gap.CopyFrom(lines.gap)
        return told

    def _wants(self, line: log_pb2.LogLine) -> bool:
        return line.time_us >= self.since_us and (
            self.pattern is None or self.pattern.search(line.text) is not None
        )


@dataclass(kw_only=True)
class LastLines:
    """The last lines of a log, and what of it was seen.

    Args:
        count: so many of the last lines.
    """

    count: int
    _seen: dict[tuple[str, int, int, str], int] = field(default_factory=dict)

    def of(self, records: Iterable[log_pb2.LogLines]) -> Iterator[log_pb2.LogLines]:
        """Yield the last lines of all that there is by now."""
        last: deque[log_pb2.LogLines] = deque(maxlen=self.count)
        for record in records:
            for line in record.lines:
                self._seen[_lease(record)] = line.sequence
                last.append(
                    log_pb2.LogLines(key=record.key, incarnation=record.incarnation, lines=[line])
                )
        yield from last

    def news(self, records: Iterable[log_pb2.LogLines]) -> Iterator[log_pb2.LogLines]:
        """Yield what comes after that."""
        for record in records:
            seen = self._seen.get(_lease(record), 0)
            lines = [line for line in record.lines if line.sequence > seen]
            if lines:
                yield log_pb2.LogLines(
                    key=record.key,
                    incarnation=record.incarnation,
                    lines=lines,
                    dropped=record.dropped,
                )


def pattern(text: str) -> re.Pattern[str] | None:
    """Compile the regular expression of --grep; None for an empty one.

    Raises:
        InvalidValue: it is none.
    """
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise InvalidValue(f"--grep {text!r} is no regular expression: {error}") from error


def moment_us(text: str, option: str, now: datetime | None = None) -> int:
    """Parse a time of the past: how long ago it is, such as "10m", or the time itself; 0 for an empty text.

    Raises:
        InvalidValue: it is neither.
    """
    if not text:
        return 0
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        return _ago_us(text, option, now or datetime.now(UTC))
    # Without a zone it is a time of the zone in which times are shown.
    return int(given.astimezone(UTC).timestamp() * 1e6)


def _ago_us(text: str, option: str, now: datetime) -> int:
    try:
        ago = timedelta(milliseconds=milliseconds(text, option, _NOWHERE))
    except WorkflowError:
        raise InvalidValue(
            f'{option} {text!r}: write how long ago, such as "10m" or "2h", or a time such as 2026-12-01T08:00'
        ) from None
    return int((now - ago).timestamp() * 1e6)


def _lease(record: log_pb2.LogLines) -> tuple[str, int, int, str]:
    return record.key.path, record.key.attempt, record.key.generation, record.incarnation
