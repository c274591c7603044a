"""What Faust notes of each message: nothing.

Its statistics cost the event loop several calls, tables and texts for each message, and nobody looks at them.
"""

from __future__ import annotations

from typing import Any

from faust import Monitor


class StreamWatch(Monitor):
    """Faust's monitor without statistics of messages."""

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        """Note nothing."""

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> None:
        """Note nothing."""

    def on_stream_event_out(
        self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        """Note nothing."""

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        """Note nothing."""
