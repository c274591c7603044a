"""Formats numbers and times for people."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def about(seconds: float) -> str:
    """Format a rough duration: "0.4 s", "40 s", "5 min", "2.5 h"."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def timestamp_in(now_us: int, seconds: float) -> Timestamp:
    """Return the time so many seconds from now."""
    stamp = Timestamp()
    stamp.FromMicroseconds(now_us + int(seconds * 1e6))
    return stamp


def clock(time_us: int) -> str:
    """Format a time: "2026-11-24 12:03:20 UTC"."""
    moment = datetime.fromtimestamp(time_us / 1e6, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
