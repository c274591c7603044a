"""Directories as tar files with one form: the same files give the same bytes."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from kaon_artifacts.errors import ArtifactError


def pack(directory: Path, target: IO[bytes]) -> None:
    """Writes `directory` as a tar file: entries sorted by name, times and owners zero, modes 644 and 755.

    Raises:
        ArtifactError: it holds something other than files and directories, or a link to a directory or out of it.
    """
    root = directory.resolve()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*"), key=lambda each: each.relative_to(root).parts):
            if not path.resolve().is_relative_to(root):
                raise ArtifactError(f"{path.relative_to(root)} leads out of the directory {directory}")
            _add(tar, path, path.relative_to(root).as_posix())


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_symlink() and path.is_dir():
        # It would be kept empty, and following it may never end.
        raise ArtifactError(f"{name} is a link to a directory: put the files there instead")
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elif path.is_file():
        status = path.stat()
        entry.size = status.st_size
        entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
        with path.open("rb") as content:
            tar.addfile(entry, content)
    else:
        raise ArtifactError(f"{name} is neither a file nor a directory")


def unpack(source: IO[bytes], directory: Path) -> None:
    """Unpacks a tar file into `directory`; entries that would lead out of it are refused.

    Raises:
        ArtifactError: it is no tar file, or has such entries.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=source, mode="r:") as tar:
            for entry in tar:
                _extract(tar, entry, directory)
    except tarfile.TarError as error:
        raise ArtifactError(f"not an artifact of a directory: {error}") from error


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, directory: Path) -> None:
    """One file or directory. Our own checks: Debian 12's Python (3.11.2) has no extraction filters yet."""
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
        raise ArtifactError(f"{entry.name} is not a file or a directory inside of the artifact")
    target = directory / name
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(entry)
    assert content is not None
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)
    target.chmod(entry.mode & 0o755)
