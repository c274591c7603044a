"""Topics of the broker in memory, read from positions that the schedules keep."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.schedules.topic_records import Fetched, Record
from kaon_wire.errors import NotFound
from kaon_wire.memory import MemoryBroker


class MemoryRecords:
    """Reads the in-memory broker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def fetch(self, topic: str, positions: Mapping[int, int], limit: int) -> Fetched:
        """Return records; see `RecordSource`."""
        numbers = self._broker.partitions(topic)
        if not numbers:
            raise NotFound(f"there is no topic {topic!r}")
        following = {
            number: positions.get(number, self._broker.end_offset(topic, number))
            for number in numbers
        }
        reader = self._broker.reader(lambda: None)
        try:
            for number in numbers:
                reader.assign(topic, number, following[number])
            found = reader.poll(limit)
        finally:
            reader.close()
        for each in found:
            following[each.partition] = each.offset + 1
        records = [
            Record(
                partition=each.partition,
                offset=each.offset,
                time_us=each.timestamp_ms * 1000,
                value=each.value,
                headers=each.headers,
            )
            for each in found
        ]
        return Fetched(records=records, positions=following)

    async def close(self) -> None:
        """Do nothing: there is no connection."""
