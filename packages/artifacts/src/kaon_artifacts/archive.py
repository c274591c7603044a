"""Directories as tar files with one form: the same files give the same bytes."""

from __future__ import annotations

import tarfile
from pathlib import Path
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
            tar.extractall(directory, filter="data")
    except tarfile.TarError as error:
        raise ArtifactError(f"not an artifact of a directory: {error}") from error
