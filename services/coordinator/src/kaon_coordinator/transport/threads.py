"""The thread in which Faust's consumer talks to the broker, made so that a process can end while the broker is away."""

from __future__ import annotations

from typing import Any

from mode.threads import WorkerThread

_WAIT_SECONDS = 2.0


class ConsumerThread(WorkerThread):
    """Neither the end of the interpreter nor the event loop waits for it without a bound, as they would for the original."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True
        self._abandoned = False

    def run(self) -> None:
        try:
            super().run()
        except RuntimeError:
            # Its loop was stopped under it.
            if not self._abandoned:
                raise

    def stop(self) -> None:
        self.is_stopped.wait(_WAIT_SECONDS)

    def abandon(self) -> None:
        """Ends the thread although it still waits for the broker: its broker forgets the member after the session time."""
        self._abandoned = True
        loop = self.service.thread_loop
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.stop)
        self.is_stopped.wait(_WAIT_SECONDS)
