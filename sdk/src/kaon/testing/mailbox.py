"""Signals to a step that runs in this process."""

from __future__ import annotations

import os
import weakref
from collections import deque
from typing import Any

from kaon.step.signals import Inbox


class Mailbox:
    """Where a test, or a runner in this process, puts the signals of one step. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque()
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        weakref.finalize(self, _close, self._read_end, self._write_end)
        # What the step's context reads; it keeps the mailbox.
        self.inbox = Inbox(self._read_end, self._take)

    def put(self, seq: int, name: str, payload: Any) -> None:
        """Put a signal in; `seq` is unique within the run, and rises."""
        self._waiting.append({"seq": seq, "name": name, "payload": payload})
        os.write(self._write_end, b"x")

    def _take(self) -> list[dict[str, Any]]:
        arrived = []
        while self._waiting:
            arrived.append(self._waiting.popleft())
            os.read(self._read_end, 1)
        return arrived


def _close(*descriptors: int) -> None:
    for each in descriptors:
        os.close(each)
