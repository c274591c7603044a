"""Keeps what a function returned as paths: it may be gone when the process has ended, or lie where the runner sees nothing."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from kaon.step.outputs import InvalidOutputs


def keep(source: Path, directory: Path, output: str) -> None:
    """Copy a file or directory into the step's directory, under its own name, and report it as the artifact `output`.

    Links inside of a directory stay links.

    Raises:
        InvalidOutputs: it is neither, or holds something that is neither.
    """
    artifacts = directory / "artifacts"
    if source.parent == artifacts and _output_of(source.name, output):
        return
    try:
        real = source.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidOutputs(f"output {output}: there is no file {source}") from error
    name = real.name if source.name in ("", "..") else source.name
    kept = Path(tempfile.mkdtemp(prefix="returned-", dir=directory)) / (name or output)
    try:
        _copy(real, kept, real)
    except _Unkept as error:
        raise InvalidOutputs(f"output {output}: {error}") from error
    for other in artifacts.iterdir():
        if _output_of(other.name, output):
            _remove(other)
    # Relative: the directory may have another path for the runner.
    (artifacts / output).symlink_to(os.path.relpath(kept, artifacts))


class _Unkept(Exception):
    """Something is neither a file nor a directory nor, inside of one, a link."""


def _output_of(entry: str, output: str) -> bool:
    """Whether the runner takes artifacts/`entry` for this output."""
    return entry == output or entry.partition(".")[0] == output


def _copy(source: Path, target: Path, root: Path) -> None:
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        target.symlink_to(_link(source, root))
    elif stat.S_ISDIR(mode):
        target.mkdir()
        for each in source.iterdir():
            _copy(each, target / each.name, root)
    elif stat.S_ISREG(mode):
        shutil.copy(source, target, follow_symlinks=False)
    else:
        raise _Unkept(f"{source} is neither a file nor a directory")


def _link(link: Path, root: Path) -> str:
    """Return the target of a link in the copy: an absolute path within the root leads into the copy."""
    told = os.readlink(link)
    target = link.resolve()
    if not os.path.isabs(told) or not target.is_relative_to(root):
        return told
    return os.path.relpath(told if Path(told).is_relative_to(root) else target, link.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
