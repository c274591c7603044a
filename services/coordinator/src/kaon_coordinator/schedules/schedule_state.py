"""The state of a schedule, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

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
    # Which of several triggers it was; empty for a schedule with one.
    trigger: str = ""
    # The updates of datasets that it consists of.
    because_of: tuple[int, ...] = ()
    # What must be equal among the triggers of an alternative, canonical JSON; empty when nothing must.
    join: str = ""


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
    # Several triggers: how far each has come, by place, and what waits for the others of its alternative, by place and by
    # what it joins by.
    parts: Mapping[str, ScheduleState] = field(default_factory=dict)
    waiting: Mapping[str, Occasion] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the state as canonical JSON."""
        return canonical.dumps(self._data())

    def _data(self) -> dict[str, Any]:
        """Return the fields; what earlier versions do not know is left out where it is empty."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        data["positions"] = {str(k): v for k, v in self.positions.items()}
        data["buffered"] = self.buffered and _told(self.buffered)
        del data["parts"], data["waiting"]
        if self.parts:
            data["parts"] = {place: part._data() for place, part in self.parts.items()}
        if self.waiting:
            data["waiting"] = {place: _told(each) for place, each in self.waiting.items()}
        return data

    @classmethod
    def from_json(cls, text: str) -> ScheduleState:
        """Parse the JSON of `to_json`."""
        return cls._of(canonical.loads(text))

    @classmethod
    def _of(cls, data: dict[str, Any]) -> ScheduleState:
        parts = {place: cls._of(part) for place, part in data.pop("parts", {}).items()}
        waiting = {place: _occasion(each) for place, each in data.pop("waiting", {}).items()}
        buffered = _occasion(data["buffered"]) if data["buffered"] else None
        positions = {int(partition): offset for partition, offset in data["positions"].items()}
        return cls(
            **{**data, "buffered": buffered, "positions": positions, "seen": tuple(data["seen"])},
            parts=parts,
            waiting=waiting,
        )


def _told(occasion: Occasion) -> dict[str, Any]:
    data = asdict(occasion)
    for name in ("trigger", "because_of", "join"):
        if not data[name]:
            del data[name]
    return data


def _occasion(data: dict[str, Any]) -> Occasion:
    return Occasion(**{**data, "because_of": tuple(data.get("because_of", ()))})
