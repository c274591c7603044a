"""How much disk steps use, and what dead runners have left there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

_BLOCK_BYTES = 512
_LOCK = ".lock"


def used_bytes(paths: Iterable[Path]) -> int:
    """What files and directories occupy on the disk, as `du` counts it; what vanishes meanwhile does not count."""
    return sum(_occupied(path) for path in paths)


def _occupied(path: Path) -> int:
    """Not by recursion: a step may nest directories deeper than Python calls."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    total, left = status.st_blocks, [str(path)] if stat.S_ISDIR(status.st_mode) else []
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
    return total * _BLOCK_BYTES


def remove_tree(path: Path) -> None:
    """Removes a directory and what is in it as far as that is possible, however deep it is; nothing happens when there is none."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:
        subprocess.run(
            ("rm", "-rf", "--", str(path)), check=False, stdin=subprocess.DEVNULL, capture_output=True
        )


def local_path(url: str) -> Path | None:
    """The directory that a file: URL names; None for storage elsewhere."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def remove_unused(root: Path, seconds: float) -> None:
    """Removes the entries of a cache that nobody has used for so long; using one means to set its time of modification.

    What a runner that died has left half made is such an entry, too.
    """
    limit = time.time() - seconds
    for entry in _listed(root):
        with contextlib.suppress(FileNotFoundError):  # another runner tidies the same cache
            if _modified(entry) < limit:
                _remove_unless_used(entry, limit)


def _remove_unless_used(entry: Path, limit: float) -> None:
    aside = entry.with_name(f".unused-{uuid.uuid4().hex}")
    entry.rename(aside)
    if _modified(aside) >= limit:
        with contextlib.suppress(OSError):  # it was made anew meanwhile
            aside.rename(entry)  # somebody has used it just now
            return
    if aside.is_dir():
        remove_tree(aside)
    else:
        aside.unlink()


class WorkDirectory:
    """What one life of a runner keeps in its work directory, which it may share with others.

    A lock that the kernel drops with the process tells the living from the dead.

    Args:
        root: the work directory.
        life: unique for this life of the runner.
        scratch_seconds: how long scratch space stays that nobody has written to.
    """

    def __init__(self, root: Path, life: str, *, scratch_seconds: float) -> None:
        self._root = root
        self._life = life
        self._scratch_seconds = scratch_seconds
        self._lock: IO[bytes] | None = None

    @property
    def steps(self) -> Path:
        """Where directories of steps go."""
        return self._root / "steps" / self._life

    @property
    def logs(self) -> Path:
        """Where complete logs are kept while their steps run."""
        return self._root / "logs" / self._life

    @property
    def scratch(self) -> Path:
        """Where scratch space goes when no other place is set; it stays after its step, for those that follow."""
        return self._root / "scratch"

    def open(self) -> None:
        """Claims the directories. Call it before `sweep`."""
        lives = self._root / "lives"
        lives.mkdir(parents=True, exist_ok=True)
        self._lock = _try_lock(lives / (self._life + _LOCK))

    def sweep(self) -> None:
        """Removes what dead runners have left, and scratch space that is out of use. May take as long as there is much."""
        for file in (self._root / "lives").glob("*" + _LOCK):
            self._sweep_life(file)
        limit = time.time() - self._scratch_seconds
        for run in _listed(self.scratch):
            if _last_written(run) < limit:
                remove_tree(run)

    def close(self) -> None:
        """Gives the directories up, with what is left in them."""
        if self._lock is not None:
            self._lock.close()
            self._sweep_life(self._root / "lives" / (self._life + _LOCK))

    def _sweep_life(self, file: Path) -> None:
        lock = _try_lock(file)
        if lock is None:
            return  # it lives
        life = file.name.removesuffix(_LOCK)
        for kind in ("steps", "logs"):
            remove_tree(self._root / kind / life)
        file.unlink(missing_ok=True)
        lock.close()


def _try_lock(path: Path) -> IO[bytes] | None:
    """The locked file; None when somebody else holds the lock."""
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _listed(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _modified(path: Path) -> float:
    return path.lstat().st_mtime


def _last_written(root: Path) -> float:
    """When something below was made, changed or removed last."""
    newest, left = 0.0, [str(root)]
    while left:
        directory = left.pop()
        with contextlib.suppress(OSError):
            newest = max(newest, os.lstat(directory).st_mtime)
            with os.scandir(directory) as entries:
                for entry in entries:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
    return newest
