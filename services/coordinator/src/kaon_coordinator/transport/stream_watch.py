"""What Faust is told of each record: only what its own check of stalled streams reads.

Its statistics cost the event loop several calls, tables and texts for each record, and nobody looks at them.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from faust import Monitor


class StreamWatch(Monitor):
    """Faust's monitor without statistics of records."""

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        """Note nothing."""

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> None:
        """Note when the partition was last read, or Faust reports its stream as stalled."""
        self.stream_inbound_time[tp] = monotonic()

    def on_stream_event_out(
        self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        """Note nothing."""

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        """Note nothing."""
