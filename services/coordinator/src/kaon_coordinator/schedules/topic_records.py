"""The triggers `record_arrived` and `model_published`: records of topics, as occasions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from kaon_coordinator.schedules.schedule_state import Occasion
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.model.v1 import model_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record."""

    partition: int
    offset: int
    # When the broker received it, microseconds since the epoch.
    time_us: int
    value: bytes
    key: bytes = b""
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """Records read, and the next positions."""

    records: Sequence[Record]
    # The next offset by partition.
    positions: Mapping[int, int]


class RecordSource(Protocol):
    """Reads topics from positions that callers keep."""

    async def fetch(self, topic: str, positions: Mapping[int, int], limit: int) -> Fetched:
        """Return at most `limit` records from these positions on, each partition's in order.

        A partition without a position is read from its end.

        Raises:
            NotFound: The topic does not exist.
            Unavailable: The broker does not answer.
        """

    async def close(self) -> None:
        """Close the connection to the broker."""


def record_occasion(record: Record) -> Occasion:
    """Make an occasion of any record."""
    event = {
        "key": record.key.decode(errors="replace"),
        "value": _value(record.value),
        "headers": {name: value.decode(errors="replace") for name, value in record.headers.items()},
        "partition": record.partition,
        "offset": record.offset,
    }
    return _occasion(record, event)


def model_occasion(record: Record, tenant: str, wanted: s.ModelPublished) -> Occasion | None:
    """Make an occasion of an announced model; return None for another model or an unreadable record."""
    try:
        announced = model_pb2.Announcement.FromString(record.value).version
    except DecodeError:
        return None
    stage = model_pb2.Stage.Name(announced.stage).removeprefix("STAGE_")
    fits = (
        announced.tenant == tenant
        and wanted.model in {"", announced.model}
        and wanted.stage.upper() in {"", stage}
    )
    if not fits:
        return None
    event = {
        "model": announced.model,
        "version": announced.version,
        "stage": stage,
        "image": announced.image_reference,
    }
    return _occasion(record, event)


def _occasion(record: Record, event: Mapping[str, Any]) -> Occasion:
    key = f"record:{record.partition}:{record.offset}"
    return Occasion(key=key, time_us=record.time_us, event_json=canonical.dumps(event))


def _value(data: bytes) -> Any:
    text = data.decode(errors="replace")
    try:
        return canonical.loads(text)
    except (InvalidValue, json.JSONDecodeError, RecursionError):
        return text
