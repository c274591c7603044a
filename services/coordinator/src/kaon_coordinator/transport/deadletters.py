"""What a dead letter says about the record that could not be applied. The record itself is its value, unchanged."""

from __future__ import annotations

from kaon_coordinator.transport.base import Incoming

# A reason may quote what it complains about; brokers bound a record's size.
REASON_BYTES = 2000


def headers_of(incoming: Incoming, reason: str) -> dict[str, bytes]:
    """Headers of the dead letter: why, and which record it was."""
    return {
        "kaon-reason": reason.encode()[:REASON_BYTES],
        "kaon-topic": incoming.topic.encode(),
        "kaon-partition": str(incoming.partition).encode(),
        "kaon-offset": str(incoming.offset).encode(),
        "kaon-timestamp-ms": str(incoming.timestamp_ms).encode(),
    }
