"""Signals: messages from outside to a running step."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One message to the step."""

    name: str
    # A JSON value.
    payload: Any
    # Unique within the run, rising.
    seq: int


class Inbox:
    """The signals of one step, each given out once however often it comes. Thread-safe.

    Args:
        fd: becomes readable when `read` has something.
        read: the messages that have come, without waiting: "seq", "name", "payload".
    """

    def __init__(self, fd: int, read: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._fd = fd
        self._read = read
        self._arrived: deque[Signal] = deque()
        self._seen: set[int] = set()
        self._lock = threading.Lock()
        self._waiting = threading.Lock()
        self._stopped = False
        self._wake: tuple[int, int] | None = None

    def take(self) -> list[Signal]:
        """All that have come and were not given out yet, in their order."""
        with self._lock:
            self._receive()
            taken = list(self._arrived)
            self._arrived.clear()
            return taken

    def wait(self, name: str | None, timeout: float | None) -> Signal | None:
        """Wait for the next signal of this name (None: of any), and return it.

        None when it did not come within `timeout` seconds, or when the step was asked to stop.

        Raises:
            RuntimeError: another thread of the step waits already.
        """
        if not self._waiting.acquire(blocking=False):
            raise RuntimeError("another thread of this step waits for signals already")
        try:
            return self._wait(name, None if timeout is None else time.monotonic() + timeout)
        finally:
            self._waiting.release()

    def stop(self) -> None:
        """Ask the step to stop: wake the waiting threads."""
        self._stopped = True
        if self._wake is not None:
            os.write(self._wake[1], b"x")

    def close(self) -> None:
        """Lets go of what `wait` has made."""
        for fd in self._wake or ():
            os.close(fd)
        self._wake = None

    def _wait(self, name: str | None, deadline: float | None) -> Signal | None:
        if self._wake is None:
            self._wake = os.pipe()
        while True:
            if (found := self._first(name)) is not None or self._stopped:
                return found
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            select.select([self._fd, self._wake[0]], [], [], left)

    def _first(self, name: str | None) -> Signal | None:
        with self._lock:
            self._receive()
            for signal in self._arrived:
                if name is None or signal.name == name:
                    self._arrived.remove(signal)
                    return signal
        return None

    def _receive(self) -> None:
        for message in self._read():
            if message["seq"] not in self._seen:
                self._seen.add(message["seq"])
                self._arrived.append(
                    Signal(name=message["name"], payload=message["payload"], seq=message["seq"])
                )
