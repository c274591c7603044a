"""Disk usage of steps, and clean-up after dead runners."""

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
    """Return the disk usage of files and directories as `du` counts it; files that vanish meanwhile do not count."""
    return sum(_occupied(path) for path in paths)


def _occupied(path: Path) -> int:
    """Walk without recursion: directories may nest deeper than Python's stack."""
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
    """Remove a directory tree as far as possible, at any depth; do nothing when it does not exist."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:
        subprocess.run(
            ("rm", "-rf", "--", str(path)),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )


def local_path(url: str) -> Path | None:
    """Return the directory of a file: URL, or None for other storage."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def remove_unused(root: Path, seconds: float) -> None:
    """Remove the entries of a cache that were not used for so long; use sets an entry's time of modification.

    Incomplete entries of dead runners are removed, too.
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
            aside.rename(entry)  # it was used just now
            return
    if aside.is_dir():
        remove_tree(aside)
    else:
        aside.unlink()


class WorkDirectory:
    """The files of one incarnation in a work directory that runners may share.

    A lock that the kernel releases with the process distinguishes live runners from dead ones.

    Args:
        root: The work directory.
        life: Unique for this incarnation.
        scratch_seconds: How long scratch space stays after its last write.
    """

    def __init__(self, root: Path, life: str, *, scratch_seconds: float) -> None:
        self._root = root
        self._life = life
        self._scratch_seconds = scratch_seconds
        self._lock: IO[bytes] | None = None

    @property
    def steps(self) -> Path:
        """Return the directory of the steps."""
        return self._root / "steps" / self._life

    @property
    def logs(self) -> Path:
        """Return the directory of the complete logs of running steps."""
        return self._root / "logs" / self._life

    @property
    def scratch(self) -> Path:
        """Return the default directory of scratch space; it stays after its step, for later steps."""
        return self._root / "scratch"

    def open(self) -> None:
        """Claim the directories. Call it before `sweep`."""
        lives = self._root / "lives"
        lives.mkdir(parents=True, exist_ok=True)
        self._lock = _try_lock(lives / (self._life + _LOCK))

    def sweep(self) -> None:
        """Remove the files of dead runners, and unused scratch space. May take long."""
        for file in (self._root / "lives").glob("*" + _LOCK):
            self._sweep_life(file)
        limit = time.time() - self._scratch_seconds
        for run in _listed(self.scratch):
            if _last_written(run) < limit:
                remove_tree(run)

    def close(self) -> None:
        """Release the directories and remove their contents."""
        if self._lock is not None:
            self._lock.close()
            self._sweep_life(self._root / "lives" / (self._life + _LOCK))

    def _sweep_life(self, file: Path) -> None:
        lock = _try_lock(file)
        if lock is None:
            return  # its runner lives
        life = file.name.removesuffix(_LOCK)
        for kind in ("steps", "logs"):
            remove_tree(self._root / kind / life)
        file.unlink(missing_ok=True)
        lock.close()


def _try_lock(path: Path) -> IO[bytes] | None:
    """Return the locked file, or None when another process holds the lock."""
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
    """Return when anything below was last created, changed or removed."""
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
