"""Local copies of artifacts, each under its own name: `<cache>/copies/<file or directory>-<hex digits>/<name>`.

Several runners may share the cache. A step may change its inputs by mistake, so a copy is sealed: everything
in it has the same time of modification, which any write changes. A changed copy is made anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kaon_artifacts import Artifact, ArtifactError
from kaon_artifacts.digesting import digest_of
from kaon_artifacts.durable import move, sync_directory
from kaon_runner.disk.space import remove_tree, remove_unused

# Interval at which every runner tidies its cache.
TIDY_SECONDS = 3600.0
_COPIES = "copies"
# The place of copies in earlier versions, unused now.
_FORMER = ("artifacts", "directories")
# The beginning of the year 2000, in nanoseconds.
_SEALED_NS = 946_684_800 * 10**9


class LocalCopies:
    """The local copies in a runner's cache. Thread-safe.

    Args:
        cache: The runner's cache.
    """

    def __init__(self, cache: Path) -> None:
        self._root = cache / _COPIES
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def copy_of(self, artifact: Artifact, fetch: Callable[[Path], object]) -> Path:
        """Return the copy under the artifact's name, or under its digest when it has none, and mark it as used.

        Args:
            artifact: The reference, with checked digest and name.
            fetch: Writes the content to a new path on disk.

        Raises:
            OSError: The copy cannot be stored; or an error of `fetch`.
        """
        kind = "directory" if artifact.is_directory else "file"
        entry = self._root / f"{kind}-{artifact.digest.rpartition(':')[2]}"
        target = entry / (artifact.name or artifact.digest.replace(":", "-"))
        with self._lock_of(entry.name):
            if not _is_whole(target, artifact):
                self._make(target, artifact, fetch)
        return target

    def _make(self, target: Path, artifact: Artifact, fetch: Callable[[Path], object]) -> None:
        """Make the copy beside its place and move it there, so that no process sees half of it."""
        self._root.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=self._root))
        try:
            content = holder / "content"
            if not _linked(target.parent, content, artifact):
                fetch(content)
                _seal(content)
            target.parent.mkdir(exist_ok=True)
            sync_directory(self._root)
            _put_in_place(content, target, artifact, aside=holder / "replaced")
        finally:
            remove_tree(holder)

    def _lock_of(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())


def tidy(cache: Path, seconds: float, in_use: Iterable[Path]) -> None:
    """Remove copies that were not used for so long.

    Args:
        cache: The runner's cache.
        seconds: As in `Settings.cache_seconds`.
        in_use: The copies that running steps of this runner read, however long they take.
    """
    for copy in in_use:
        _use(copy)
    # Other runners with the same cache mark their copies as used at the same interval.
    seconds = max(seconds, 3 * TIDY_SECONDS)
    for kind in (_COPIES, *_FORMER):
        remove_unused(cache / kind, seconds)


def _use(copy: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.utime(copy.parent)


def _is_whole(target: Path, artifact: Artifact) -> bool:
    # Mark first, then check: copies that are marked later stay.
    _use(target)
    return _is_sealed(target, directory=artifact.is_directory)


def _linked(entry: Path, content: Path, artifact: Artifact) -> bool:
    """Make the content from a copy with another name, by hard links; return False when that is impossible."""
    for other in _listed(entry):
        # Files that steps created beside their inputs are no copies, whatever their form.
        with contextlib.suppress(OSError, ArtifactError):
            if _is_sealed(other, directory=artifact.is_directory):
                _link(other, content)
                if (
                    _is_sealed(content, directory=artifact.is_directory)
                    and digest_of(content) == artifact.digest
                ):
                    return True
        _remove(content)
    return False


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    else:
        os.link(source, target, follow_symlinks=False)


def _put_in_place(content: Path, target: Path, artifact: Artifact, *, aside: Path) -> None:
    if _is_whole(target, artifact):
        return  # another runner with the same root was faster
    if target.is_dir() or content.is_dir():
        with contextlib.suppress(FileNotFoundError):
            os.rename(target, aside)
    try:
        move(content, target)
    except OSError:
        if not _is_whole(target, artifact):
            raise


def _seal(root: Path) -> None:
    for path, _ in _everything(root):
        os.utime(path, ns=(_SEALED_NS, _SEALED_NS), follow_symlinks=False)


def _is_sealed(root: Path, *, directory: bool) -> bool:
    """Tell whether the copy exists, is of this kind, and is unchanged."""
    try:
        mode = root.lstat().st_mode
        return (stat.S_ISDIR(mode) if directory else stat.S_ISREG(mode)) and all(
            status.st_mtime_ns == _SEALED_NS for _, status in _everything(root)
        )
    except OSError:
        return False


def _everything(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path and everything below it, without recursion: directories may nest deeper than Python's stack."""
    left = [str(root)]
    while left:
        path = left.pop()
        status = os.lstat(path)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                left.extend(entry.path for entry in entries)


def _listed(entry: Path) -> list[Path]:
    try:
        return sorted(entry.iterdir())
    except FileNotFoundError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
