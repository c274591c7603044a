"""Nothing is noted of what Faust delivers."""

from __future__ import annotations

from types import SimpleNamespace

from faust.types import TP

from kaon_coordinator.transport.stream_watch import StreamWatch
from kaon_wire.topics import STEP_EVENTS


def test_of_messages_nothing_is_noted() -> None:
    watch, partition, message = StreamWatch(), TP(STEP_EVENTS, 1), SimpleNamespace()
    watch.on_message_in(partition, 7, message)
    watch.on_stream_event_in(partition, 7, object(), object())
    watch.on_stream_event_out(partition, 7, object(), object(), {"time_in": 1.0})
    watch.on_message_out(partition, 7, message)
    assert not watch.stream_inbound_time
    assert (vars(message), watch.messages_active, watch.events_total) == ({}, 0, 0)
    assert not watch.events_by_stream
