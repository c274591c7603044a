from __future__ import annotations

import pytest

from kaon_wire.packing import pack_repeated
from kaonapi.run.v1 import history_pb2


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 20_000, 3_000_000])
def test_what_is_packed_reads_as_if_it_had_been_serialized_whole(size: int) -> None:
    events = [history_pb2.HistoryEvent(run_id="r" * length, seq=3) for length in (size, 5)]
    parts = [event.SerializeToString(deterministic=True) for event in events]
    packed = pack_repeated(history_pb2.RunEvents.EVENTS_FIELD_NUMBER, parts)
    assert packed == history_pb2.RunEvents(events=events).SerializeToString(deterministic=True)
