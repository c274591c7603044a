"""Marks: small files beside the artifacts that pin them, announce deletions, and flag damaged ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kaon_artifacts.errors import StoreUnavailable
from kaon_artifacts.times import written_at

# An older mark is left over from a dead process: its maker deletes nothing after half of this time.
MARK_SECONDS = 600.0
_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Marks:
    """The marks of one store.

    Deletion and renewal exclude each other without a lock, which no storage provides. A deleter makes a mark,
    then checks the artifact's age, deletes it when it is old, and removes the mark. A renewer first makes the
    artifact young, then waits until there is no mark, then checks whether it still exists. Whichever comes
    first, the other one sees it.

    Args:
        fs: The file system.
        root: The store's path in it.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._deleting, self._pins, self._swept = (
            f"{root}/deleting",
            f"{root}/pins",
            f"{root}/swept",
        )
        self._suspects = f"{root}/suspects"

    @contextmanager
    def deleting(self, value: str, owner: str) -> Iterator[float]:
        """Mark an artifact as one that `owner` may delete; return the monotonic time until which it may.

        A failed deletion leaves the mark, because it may still take place; the mark is void after
        `MARK_SECONDS`.
        """
        path = f"{self._deleting}/{value}.{owner}"
        until = time.monotonic() + MARK_SECONDS / 2
        self._make(self._deleting, path)
        yield until
        self._fs.rm_file(path)

    def await_undisturbed(self, value: str) -> None:
        """Return when no process is deleting the artifact.

        Raises:
            StoreUnavailable: A process still does after a minute.
        """
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, _FIRST_PAUSE
        # Storage sends no notification when a file goes.
        waiting = threading.Event()
        while any(name.startswith(value) for name in self._fresh(self._deleting)):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"artifact sha256:{value} is being deleted: try again later")
            waiting.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def clear(self) -> None:
        """Remove the marks of dead processes."""
        fresh = set(self._fresh(self._deleting))
        for name in set(self._names(self._deleting)) - fresh:
            self._remove(f"{self._deleting}/{name}")

    def pin(self, value: str) -> None:
        """Pin an artifact that has a user unknown to the coordinators' database."""
        path = f"{self._pins}/{value}"
        if not self._fs.exists(path):
            self._make(self._pins, path)

    def pinned(self) -> frozenset[str]:
        """Return the pinned artifacts, as hex digits."""
        return frozenset(self._names(self._pins))

    def suspect(self, value: str) -> None:
        """Flag an artifact in which a reader found different content.

        It is not deleted for that: the reader may be at fault.
        """
        self._make(self._suspects, f"{self._suspects}/{value}")

    def is_suspect(self, value: str) -> bool:
        """Tell whether a reader has found different content since the artifact was written."""
        return bool(self._fs.exists(f"{self._suspects}/{value}"))

    def trust(self, value: str) -> None:
        """Remove the flag: the artifact was just written by a process that has its content, or is gone."""
        self._remove(f"{self._suspects}/{value}")

    def swept_at(self) -> float:
        """Return when the last sweep began, in seconds since the epoch; 0 when there was none."""
        try:
            return written_at(self._fs.info(self._swept))
        except FileNotFoundError:
            return 0.0

    def sweep_begins(self) -> None:
        """Note that a sweep begins: others need not sweep for a while."""
        self._make(self._swept.rpartition("/")[0], self._swept)

    def _fresh(self, directory: str) -> Iterator[str]:
        now = time.time()
        for name in self._names(directory):
            try:
                if now - written_at(self._fs.info(f"{directory}/{name}")) < MARK_SECONDS:
                    yield name
            except FileNotFoundError:
                # It was deleted meanwhile.
                continue

    def _names(self, directory: str) -> list[str]:
        """Return the names in a listing, ignoring errors for files that were deleted meanwhile."""
        try:
            found = self._fs.ls(directory, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rstrip("/").rpartition("/")[2] for path in found]

    def _make(self, directory: str, path: str) -> None:
        self._fs.makedirs(directory, exist_ok=True)
        # Not empty: some file systems do not write empty files.
        with self._fs.open(path, "wb") as mark:
            mark.write(b"kaon\n")

    def _remove(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
