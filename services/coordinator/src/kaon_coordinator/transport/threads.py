"""The thread of Faust's consumer, made so that a process can end while the broker is away."""

from __future__ import annotations

import asyncio
from typing import Any

from mode.threads import WorkerThread

_WAIT_SECONDS = 2.0


class ConsumerThread(WorkerThread):
    """A consumer thread that neither the interpreter's exit nor the event loop awaits without a bound, unlike the original."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True
        self._abandoned = False

    def run(self) -> None:
        """Run the consumer's loop until it is stopped or abandoned."""
        try:
            super().run()
        except (RuntimeError, asyncio.CancelledError):
            # Its loop was stopped under it, or a call of its last service was cancelled with it.
            if not self._abandoned:
                raise

    def stop(self) -> None:
        """Wait for the end of the thread for a bounded time."""
        self.is_stopped.wait(_WAIT_SECONDS)

    def abandon(self) -> None:
        """End the thread although it still waits for the broker, which forgets the member after the session time."""
        self._abandoned = True
        loop = self.service.thread_loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        self.is_stopped.wait(_WAIT_SECONDS)
