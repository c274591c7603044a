"""Says in a live view why READY steps do not start, when they wait for longer than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kaon.client import Client, KaonError
from kaonapi.run.v1 import history_pb2

# Seconds for which a step may be READY before it is asked why, and between questions.
_PATIENCE = 4.0
_ROUND = 4.0
# So many steps are asked about: the others wait for the same.
_ASKED = 3


class Waits:
    """Asks the coordinator about steps that wait.

    Args:
        client: asks.
        run_id: the run.
        tell: gets the path of a step and what it waits for, each time that this is something else.
        patience: seconds for which a step may wait unasked.
    """

    def __init__(
        self,
        client: Client,
        run_id: str,
        tell: Callable[[str, str], None],
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._tell = tell
        self._patience = patience
        # Since when steps wait, in monotonic seconds.
        self._since: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="waits", daemon=True)

    def note(self, event: history_pb2.HistoryEvent) -> None:
        """Note which steps wait after an event."""
        with self._lock:
            if event.HasField("step_became_ready"):
                self._since[event.step_became_ready.path] = time.monotonic()
            for kind in ("step_leased", "step_ended", "step_retry_scheduled"):
                if event.HasField(kind):
                    self._since.pop(getattr(event, kind).path, None)
            if event.HasField("run_ended"):
                self._since.clear()

    def start(self) -> None:
        """Ask from now on, in a thread of its own."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask(self) -> None:
        while not self._over.wait(min(_ROUND, self._patience)):
            with self._lock:
                due = time.monotonic() - self._patience
                waiting = [path for path, since in self._since.items() if since <= due][:_ASKED]
            for path in waiting:
                self._explain(path)

    def _explain(self, path: str) -> None:
        try:
            reasons = self._client.why(self._run_id, path).reasons
        except KaonError:
            # The view says by itself when the coordinator is away.
            return
        text = reasons[0].text if reasons else ""
        with self._lock:
            known = path not in self._since or self._told.get(path) == text
        if text and not known:
            self._told[path] = text
            self._tell(path, text)
