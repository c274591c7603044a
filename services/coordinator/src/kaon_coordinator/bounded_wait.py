"""Waits for an event of the event loop, for a bounded time."""

from __future__ import annotations

import asyncio


async def came(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until an event is set, and tell whether it was within so many seconds; None is without limit."""
    # Not `wait_for`: it may swallow a cancellation that coincides with the event.
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
