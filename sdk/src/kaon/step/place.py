"""Working directories of the steps of a warm worker: each step has its own."""

from __future__ import annotations

import os
import stat


class Places:
    """Makes the directory of one step after the other, as the step protocol lays it out, and stands in it while the step runs.

    A directory that a step has left untouched is moved on to the next step, which costs an eighth of a new one. Until then it
    stays where it is, and the runner is told not to look at it.
    """

    def __init__(self) -> None:
        self._home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._root = ""
        # The untouched directory of the step before; empty when there is none.
        self._spare = ""

    def enter(self, work: str) -> None:
        """Make `work` with the directory above it, and change into it.

        Raises:
            OSError: it cannot be made.
        """
        self._root = work.rpartition("/")[0]
        spare, self._spare = self._spare, ""
        if not spare or not _moved(spare, self._root):
            _discard(spare)
            # Some step types lay the directory out beforehand: then it is not this worker's to move on.
            found = os.path.isdir(self._root)
            os.makedirs(work, exist_ok=True)
            if not found:
                # A time that no change can leave behind, whatever the resolution of the file system's clock is.
                for path in (work, self._root):
                    os.utime(path, (0, 0))
        os.chdir(work)

    def leave(self, *, keep: bool) -> bool:
        """Go back to where the worker was started.

        What the step has written stays: the runner collects and removes it. Return whether nothing was written, and the directory
        is kept for the next step; that is never so without `keep`.
        """
        os.fchdir(self._home)
        if keep and _untouched(self._root) and _untouched(self._root + "/work"):
            self._spare = self._root
            return True
        _discard(self._root)
        return False

    def close(self) -> None:
        """Remove the directory that is kept for a next step."""
        spare, self._spare = self._spare, ""
        _discard(spare)


def _discard(root: str) -> None:
    """Remove the directory of a step, if there is one, unless something is in it."""
    if root and _removed(root + "/work"):
        _removed(root)


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
