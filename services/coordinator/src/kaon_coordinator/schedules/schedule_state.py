"""The state of a schedule, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from kaon_wire import canonical


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """One reason to submit a run."""

    # Unique per schedule: one occasion gives one run, whichever coordinator evaluates it.
    key: str
    # The time that the run stands for, microseconds since the epoch.
    time_us: int
    # The event, canonical JSON; empty for a time.
    event_json: str = ""


@dataclass(frozen=True, kw_only=True)
class ScheduleState:
    """The progress of a schedule. Times are microseconds since the epoch."""

    # The newest evaluated time; of a trigger, when it was set up.
    last_us: int
    # The newest run and the time that it stands for.
    last_run_id: str = ""
    last_run_us: int = 0
    # Why the last submission was refused; empty when it was not.
    last_error: str = ""
    # An occasion that waits for the end of the previous run.
    buffered: Occasion | None = None
    # Finished runs: the newest end seen, and the ends shortly before it, as "run:end".
    cursor_us: int = 0
    seen: tuple[str, ...] = ()
    # Records: the next offset by partition.
    positions: Mapping[int, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the state as canonical JSON."""
        return canonical.dumps(
            {**asdict(self), "positions": {str(k): v for k, v in self.positions.items()}}
        )

    @classmethod
    def from_json(cls, text: str) -> ScheduleState:
        """Parse the JSON of `to_json`."""
        data = canonical.loads(text)
        buffered = Occasion(**data["buffered"]) if data["buffered"] else None
        positions = {int(partition): offset for partition, offset in data["positions"].items()}
        return cls(
            **{**data, "buffered": buffered, "positions": positions, "seen": tuple(data["seen"])}
        )
