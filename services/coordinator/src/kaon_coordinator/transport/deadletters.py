"""Headers of dead letters: they describe the record that could not be applied.

Its value is the record itself, unchanged.
"""

from __future__ import annotations

from kaon_coordinator.transport.base import Incoming

# A reason may quote its record; brokers bound a record's size.
REASON_BYTES = 2000


def headers_of(incoming: Incoming, reason: str) -> dict[str, bytes]:
    """Return the headers of the dead letter: the reason, and the origin of the record."""
    return {
        "kaon-reason": reason.encode()[:REASON_BYTES],
        "kaon-topic": incoming.topic.encode(),
        "kaon-partition": str(incoming.partition).encode(),
        "kaon-offset": str(incoming.offset).encode(),
        "kaon-timestamp-ms": str(incoming.timestamp_ms).encode(),
    }
