"""Archives: directories as canonical tar files, and bounded unpacking of foreign archives.

The same files give the same bytes.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from kaon_artifacts import opening
from kaon_artifacts.durable import sync_directory
from kaon_artifacts.errors import ArtifactError, Unreadable

_TAR_TYPES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE}
# Content is read in smaller pieces; only the short header of an entry is read at once.
_DESCRIPTION_BYTES = 1 << 20
_DEEPEST = 100


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits of an archive."""

    entries: int
    # Of all files together, unpacked.
    bytes: int
    # Unpacked bytes per byte of a compressed archive; small ones may have more.
    ratio: int = 200


ARTIFACT_BOUNDS = Bounds(entries=1_000_000, bytes=1 << 40)
BUNDLE_BOUNDS = Bounds(entries=50_000, bytes=512 << 20)
_SMALL_BYTES = 1 << 20


def pack(directory: Path, target: IO[bytes], bounds: Bounds = ARTIFACT_BOUNDS) -> None:
    """Write `directory` as a tar file: entries sorted by name, times and owners zero, modes 644 and 755.

    Links that stay inside are kept as links.

    Raises:
        Unreadable: It contains something other than files, directories and inner links, or exceeds the limits.
        ArtifactError: It changes meanwhile.
    """
    root = directory.resolve()
    with (
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar,
        opening.directory(root) as fd,
    ):
        _Packing(root, tar, bounds).add_all(fd, PurePosixPath())


class _Packing:
    def __init__(self, root: Path, tar: tarfile.TarFile, bounds: Bounds) -> None:
        self._root, self._tar, self._bounds = root, tar, bounds
        self._entries = self._bytes = 0

    def add_all(self, fd: int, place: PurePosixPath) -> None:
        """Add everything in an open directory, which is at `place` in the root."""
        if len(place.parts) > _DEEPEST:
            raise Unreadable(f"{place} lies deeper than {_DEEPEST} directories")
        for name in sorted(os.listdir(fd)):
            self._count()
            with _named(place / name):
                self._add(fd, name, place / name)

    def _add(self, fd: int, name: str, place: PurePosixPath) -> None:
        entry = tarfile.TarInfo(str(place))
        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            entry.type, entry.mode = tarfile.SYMTYPE, 0o777
            entry.linkname = _link_inside(self._root, place)
            self._tar.addfile(entry)
        elif stat.S_ISDIR(mode):
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            self._tar.addfile(entry)
            with opening.directory(name, within=fd) as inner:
                self.add_all(inner, place)
        else:
            with opening.file(name, within=fd) as content:
                status = os.fstat(content.fileno())
                entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                self._count(status.st_size)
                self._tar.addfile(entry, content)

    def _count(self, size: int | None = None) -> None:
        self._entries, self._bytes = self._entries + (size is None), self._bytes + (size or 0)
        if self._entries > self._bounds.entries:
            raise Unreadable(f"the directory holds more than {self._bounds.entries} entries")
        if self._bytes > self._bounds.bytes:
            raise Unreadable(f"the directory holds more than {self._bounds.bytes} bytes")


@contextmanager
def _named(place: PurePosixPath) -> Iterator[None]:
    """Prefix errors about an entry with its whole path."""
    try:
        yield
    except Unreadable as error:
        text = str(error)
        told = text if str(place) in text else f"{place}: {text}"
        raise Unreadable(told) from error
    except FileNotFoundError as error:
        raise ArtifactError(f"{place} went away while the directory was read") from error


def _link_inside(root: Path, place: PurePosixPath) -> str:
    """Return the target of a link, relative to the link's place.

    Raises:
        Unreadable: It leads to nothing, in a circle, or out of the root.
    """
    link = root / place
    told = os.readlink(link)
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise Unreadable(f"{place} is a link to {told}, where nothing is") from error
    if not target.is_relative_to(root):
        raise Unreadable(f"{place} is a link to {told}, which leads out of the directory")
    if not os.path.isabs(told):
        return told
    return os.path.relpath(told if Path(told).is_relative_to(root) else target, link.parent)


def unpack(source: IO[bytes], directory: Path, bounds: Bounds = ARTIFACT_BOUNDS) -> None:
    """Unpack a tar file into `directory`, durably.

    Raises:
        ArtifactError: It is not a tar file, exceeds the limits, or contains something other than files, directories and inner
            links. Entries unpacked before the error remain.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _reading("an artifact of a directory"):
        with tarfile.open(fileobj=_Stingy(source), mode="r:") as tar:  # type: ignore[call-overload]
            _unpack_tar(tar, directory, bounds)


def _unpack_tar(tar: tarfile.TarFile, directory: Path, bounds: Bounds) -> None:
    """Our own checks: Debian 12's Python (3.11.2) has no extraction filters yet."""
    unpacking = _Unpacking(directory, bounds)
    for entry in tar:
        if entry.type not in _TAR_TYPES or entry.issparse():
            raise ArtifactError(f"{entry.name} is not a file, a directory or a link")
        if entry.issym():
            unpacking.link(entry.name, entry.linkname)
        elif entry.isdir():
            unpacking.directory(entry.name)
        else:
            content = tar.extractfile(entry)
            assert content is not None
            unpacking.file(entry.name, content, entry.size, entry.mode)
        # It would keep all of them in memory.
        tar.members = []  # type: ignore[attr-defined]
    unpacking.finish()


def unpack_zip(source: Path, directory: Path, bounds: Bounds = BUNDLE_BOUNDS) -> None:
    """Unpack a zip file into `directory`, durably. Executable bits are kept.

    Raises:
        ArtifactError: As in `unpack`; links are refused, too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    packed = source.stat().st_size
    with _reading("a zip file"), zipfile.ZipFile(source) as archive:
        unpacking = _Unpacking(directory, bounds)
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if total > max(_SMALL_BYTES, packed * bounds.ratio):
            raise ArtifactError(
                f"it has {packed} bytes and claims {total} unpacked, more than {bounds.ratio} times as many"
            )
        for entry in entries:
            _unzip(archive, entry, unpacking)
        unpacking.finish()


def _unzip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, unpacking: _Unpacking) -> None:
    mode = entry.external_attr >> 16
    if entry.is_dir():
        unpacking.directory(entry.filename)
        return
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ArtifactError(f"{entry.filename} is {opening.kind_of(mode)}, not a file")
    with archive.open(entry) as content:
        unpacking.file(entry.filename, content, entry.file_size, mode)


class _Unpacking:
    """Writes entries below a directory. Links come last, so that nothing is ever written through one."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        self._root, self._bounds = root, bounds
        self._entries = self._bytes = 0
        self._links: dict[PurePosixPath, str] = {}
        self._directories = {root}

    def directory(self, name: str) -> None:
        self._make(self._root / self._place(name))

    def link(self, name: str, target: str) -> None:
        self._links[self._place(name)] = target

    def file(self, name: str, content: IO[bytes], size: int, mode: int) -> None:
        path = self._root / self._place(name)
        self._bytes += size
        if self._bytes > self._bounds.bytes:
            raise ArtifactError(f"it holds more than {self._bounds.bytes} bytes")
        self._make(path.parent)
        with path.open("wb") as target:
            shutil.copyfileobj(content, target)
            if target.tell() != size:
                raise ArtifactError(f"{name} has {target.tell()} bytes, not the declared {size}")
            target.flush()
            os.fsync(target.fileno())
        path.chmod(0o755 if mode & 0o100 else 0o644)

    def finish(self) -> None:
        """Make the links, check their targets, and sync the names to disk."""
        for place, target in self._links.items():
            path = self._root / place
            if any(parent in self._links for parent in place.parents):
                raise ArtifactError(f"{place} lies behind a link")
            self._make(path.parent)
            if os.path.isabs(target):
                raise ArtifactError(
                    f"{place} is a link to {target}, which leads out of the archive"
                )
            path.symlink_to(target)
        for place in self._links:
            try:
                _link_inside(self._root.resolve(), place)
            except Unreadable as error:
                raise ArtifactError(str(error)) from error
        for directory in self._directories:
            sync_directory(directory)

    def _place(self, name: str) -> PurePosixPath:
        self._entries += 1
        if self._entries > self._bounds.entries:
            raise ArtifactError(f"it holds more than {self._bounds.entries} entries")
        place = PurePosixPath(name)
        if (
            place.is_absolute()
            or ".." in place.parts
            or len(place.parts) > _DEEPEST
            or place in self._links
        ):
            raise ArtifactError(f"{name} is not a path inside the archive")
        return place

    def _make(self, path: Path) -> None:
        if path in self._directories:
            return
        self._make(path.parent)
        path.mkdir(exist_ok=True)
        self._directories.add(path)


class _Stingy:
    """A stream with bounded reads: a tar file may claim that the header of an entry has gigabytes."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _DESCRIPTION_BYTES:
            raise ArtifactError(
                f"the description of an entry has more than {_DESCRIPTION_BYTES} bytes"
            )
        return self._source.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Convert all errors of the libraries over malformed archives to one kind."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"not {what}: {error}") from error
    except (
        ValueError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        OverflowError,
        struct.error,
    ) as error:
        raise ArtifactError(
            f"not {what} that can be unpacked: {type(error).__name__}: {error}"
        ) from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArtifactError(
            f"not {what} that can be unpacked: two entries are at one place: {error}"
        ) from error
