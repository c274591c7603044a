"""Working directories of the steps of a warm worker: each step has its own."""

from __future__ import annotations

import os
import stat


class Places:
    """Makes the directory of one step after the other, as the step protocol lays it out, and stands in it while the step runs.

    A directory that a step has left untouched is moved on to the next step: that costs a quarter of a new one.
    """

    def __init__(self) -> None:
        self._home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._root = ""
        # Where the untouched directory of the step before is; empty when there is none.
        self._spare = ""

    def enter(self, work: str) -> None:
        """Make `work` with the directory above it, and change into it.

        Raises:
            OSError: it cannot be made.
        """
        self._root = os.path.dirname(work)
        spare, self._spare = self._spare, ""
        if not spare or not _moved(spare, self._root):
            # Some step types lay the directory out beforehand: then it is not this worker's to move on.
            found = os.path.isdir(self._root)
            os.makedirs(work, exist_ok=True)
            if not found:
                # A time that no change can leave behind, whatever the resolution of the file system's clock is.
                for path in (work, self._root):
                    os.utime(path, (0, 0))
        os.chdir(work)

    def leave(self) -> None:
        """Goes back to where the worker was started. What the step has written stays: the runner collects and removes it."""
        os.fchdir(self._home)
        root, work = self._root, self._root + "/work"
        spare = f"{os.path.dirname(root)}/spare-{os.getpid()}"
        if _untouched(root) and _untouched(work) and _moved(root, spare):
            self._spare = spare
        elif _removed(work):
            _removed(root)

    def close(self) -> None:
        """Remove the files that are kept for a next step."""
        spare, self._spare = self._spare, ""
        if spare and _removed(spare + "/work"):
            _removed(spare)


def _untouched(path: str) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return found.st_mtime_ns == 0 and stat.S_ISDIR(found.st_mode) and found.st_mode & 0o700 == 0o700


def _moved(source: str, target: str) -> bool:
    try:
        os.rename(source, target)
    except OSError:
        return False
    return True


def _removed(path: str) -> bool:
    """Whether the directory was empty, and is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
