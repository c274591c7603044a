"""Small files beside the artifacts: what must not be deleted, what is being deleted just now, and what was found damaged."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kaon_artifacts.errors import StoreUnavailable
from kaon_artifacts.times import written_at

# A mark this old is left over from a process that died: whoever makes one deletes nothing after half of this time.
MARK_SECONDS = 600.0
_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Marks:
    """The marks of one store.

    Deleting and taking anew exclude each other without a lock, which no storage has. Who deletes makes a mark, then looks at the
    artifact's age, deletes it when it is old, and removes the mark. Who takes it anew makes it young first, then waits until there
    is no mark, then looks whether it is still there. Whichever comes first, the other one sees it.

    Args:
        fs: the file system.
        root: the store's path in it.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._deleting, self._pins, self._swept = f"{root}/deleting", f"{root}/pins", f"{root}/swept"
        self._suspects = f"{root}/suspects"

    @contextmanager
    def deleting(self, value: str, owner: str) -> Iterator[float]:
        """Marks an artifact as one that `owner` may be deleting; gives the time on the monotonic clock until which it may.

        A deletion that failed leaves the mark, because it may take place all the same; it is void after `MARK_SECONDS`.
        """
        path = f"{self._deleting}/{value}.{owner}"
        until = time.monotonic() + MARK_SECONDS / 2
        self._make(self._deleting, path)
        yield until
        self._fs.rm_file(path)

    def await_undisturbed(self, value: str) -> None:
        """Returns when nobody deletes the artifact.

        Raises:
            StoreUnavailable: somebody still does after a minute.
        """
        deadline, pause = time.monotonic() + _PATIENCE_SECONDS, _FIRST_PAUSE
        # Storage tells nobody when a file goes.
        waiting = threading.Event()
        while any(name.startswith(value) for name in self._fresh(self._deleting)):
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"artifact sha256:{value} is being deleted: try again later")
            waiting.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def clear(self) -> None:
        """Removes the marks of processes that died."""
        fresh = set(self._fresh(self._deleting))
        for name in set(self._names(self._deleting)) - fresh:
            self._remove(f"{self._deleting}/{name}")

    def pin(self, value: str) -> None:
        """The artifact is needed by somebody whom the coordinators' database does not know."""
        path = f"{self._pins}/{value}"
        if not self._fs.exists(path):
            self._make(self._pins, path)

    def pinned(self) -> frozenset[str]:
        """What is pinned, as hex digits."""
        return frozenset(self._names(self._pins))

    def suspect(self, value: str) -> None:
        """Somebody has read something else than the artifact. It is not deleted for that: the reader may be at fault."""
        self._make(self._suspects, f"{self._suspects}/{value}")

    def is_suspect(self, value: str) -> bool:
        """Whether somebody has read something else since the artifact was written."""
        return bool(self._fs.exists(f"{self._suspects}/{value}"))

    def trust(self, value: str) -> None:
        """The artifact has just been written, by somebody who has its content; or it is gone."""
        self._remove(f"{self._suspects}/{value}")

    def swept_at(self) -> float:
        """When somebody began to sweep last, in seconds since the epoch; 0 when nobody has."""
        try:
            return written_at(self._fs.info(self._swept))
        except FileNotFoundError:
            return 0.0

    def sweep_begins(self) -> None:
        """Others need not sweep for a while."""
        self._make(self._swept.rpartition("/")[0], self._swept)

    def _fresh(self, directory: str) -> Iterator[str]:
        now = time.time()
        for name in self._names(directory):
            try:
                if now - written_at(self._fs.info(f"{directory}/{name}")) < MARK_SECONDS:
                    yield name
            except FileNotFoundError:
                # It went while we looked.
                continue

    def _names(self, directory: str) -> list[str]:
        """Without what else a listing may tell: of a file that goes meanwhile it tells an error."""
        try:
            found = self._fs.ls(directory, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rstrip("/").rpartition("/")[2] for path in found]

    def _make(self, directory: str, path: str) -> None:
        self._fs.makedirs(directory, exist_ok=True)
        # Not empty: some file systems do not write a file in which there is nothing.
        with self._fs.open(path, "wb") as mark:
            mark.write(b"kaon\n")

    def _remove(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
