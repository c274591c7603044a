"""What is new in log lines that come again when a stream breaks and starts anew."""

from __future__ import annotations

from dataclasses import dataclass

from kaonapi.log.v1 import log_pb2


@dataclass(kw_only=True)
class _Lease:
    """How far the lines of one lease have come."""

    last: int = 0
    # Lines that the runner lost, as far as they were told, and those of the stream that runs.
    dropped: int = 0
    dropped_now: int = 0


class Followed:
    """The lines of a run, each told once."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, int, int, str], _Lease] = {}

    def begin(self) -> None:
        """Note that a stream starts, with the first lines."""
        for lease in self._leases.values():
            lease.dropped_now = 0

    def news(self, lines: log_pb2.LogLines) -> log_pb2.LogLines | None:
        """Return the new part of a record; None when nothing of it is new."""
        key = lines.key
        lease = self._leases.setdefault(
            (key.path, key.attempt, key.generation, lines.incarnation), _Lease()
        )
        new = [line for line in lines.lines if line.sequence > lease.last]
        lease.dropped_now += lines.dropped
        dropped = max(0, lease.dropped_now - lease.dropped)
        lease.dropped += dropped
        if not new and not dropped:
            return None
        told = log_pb2.LogLines(key=key, incarnation=lines.incarnation, lines=new, dropped=dropped)
        first = max(lines.gap.first_sequence, lease.last + 1)
        if new and first <= lines.gap.last_sequence:
            told.gap.CopyFrom(
                log_pb2.LogGap(first_sequence=first, last_sequence=lines.gap.last_sequence)
            )
        lease.last = new[-1].sequence if new else lease.last
        return told
