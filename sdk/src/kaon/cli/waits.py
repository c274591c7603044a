"""Says in a live view why READY steps do not start, when they wait for longer than a moment.

A step whose environment is being built counts as RUNNING from its runner's first renewal on; it is asked, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from kaon.client import Client, KaonError
from kaonapi.run.v1 import history_pb2
from kaonapi.runner.v1 import runner_pb2

# Seconds for which a step may be READY before it is asked why, and between questions.
_PATIENCE = 4.0
# So many steps are asked about: the others wait for the same.
_ASKED = 3


class Waits:
    """Asks the coordinator about steps that wait.

    Args:
        client: asks.
        run_id: the run.
        tell: gets the path of a step and what it waits for, each time that this is something else; nothing when it waits
            no longer and no event says so.
        patience: seconds for which a step may wait unasked.
        built: tells of the path of a step whether it runs in an environment of its own.
    """

    def __init__(
        self,
        client: Client,
        run_id: str,
        tell: Callable[[str, str], None],
        *,
        patience: float = _PATIENCE,
        built: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._tell = tell
        self._patience = patience
        self._built = built
        # Since when steps wait, in monotonic seconds.
        self._since: dict[str, float] = {}
        # Of them, those that count as RUNNING.
        self._leased: set[str] = set()
        self._told: dict[str, str] = {}
        # When they were asked about last, in monotonic seconds.
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="waits", daemon=True)

    def note(self, event: history_pb2.HistoryEvent) -> None:
        """Note which steps wait after an event."""
        with self._lock:
            if event.HasField("step_became_ready"):
                path = event.step_became_ready.path
                self._since[path] = time.monotonic()
                self._leased.discard(path)
            for kind in ("step_leased", "step_ended", "step_retry_scheduled"):
                if event.HasField(kind):
                    path = getattr(event, kind).path
                    self._since.pop(path, None)
                    self._leased.discard(path)
            if event.HasField("step_leased") and self._built(event.step_leased.path):
                self._since[event.step_leased.path] = time.monotonic()
                self._leased.add(event.step_leased.path)
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
        while not self._over.wait(self._patience / 4):
            now = time.monotonic()
            with self._lock:
                self._asked = {path: at for path, at in self._asked.items() if path in self._since}
                waiting = [
                    path
                    for path, since in self._since.items()
                    if since <= now - self._patience
                    and self._asked.get(path, 0.0) <= now - self._patience
                ][:_ASKED]
            for path in waiting:
                self._asked[path] = now
                self._explain(path)

    def _explain(self, path: str) -> None:
        try:
            reasons = self._client.why(self._run_id, path).reasons
        except KaonError:
            # The view says by itself when the coordinator is away.
            return
        with self._lock:
            if path not in self._since:
                return
            told, text = self._told.get(path, ""), _text(reasons, begun=path in self._leased)
            if not text and path in self._leased:
                del self._since[path]
            if text == told or not (text or path in self._leased):
                return
            self._told[path] = text
        self._tell(path, text)


def _text(reasons: Sequence[runner_pb2.WaitReason], *, begun: bool) -> str:
    """Return what a step waits for; one that counts as RUNNING waits for its environment or for nothing."""
    if not reasons or (begun and reasons[0].cause != runner_pb2.WAIT_CAUSE_ENVIRONMENT):
        return ""
    return reasons[0].text
