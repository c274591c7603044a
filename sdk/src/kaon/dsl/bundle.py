"""The code bundle: the workflow's directory as a zip file that is the same, byte for byte, for the same content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kaon.dsl import environments, ignore
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon_wire import canonical

# A bundle is code and small resources; data belongs into artifacts.
MAX_BYTES = 32 * 1024 * 1024
_IGNORE_BYTES = 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)
# What a directory of `kaon run --state` holds: it changes with every run, and is no code.
_STATE_FILE = "kaon.db"
_UNIX = 3


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The code bundle of a workflow: its files and their digest."""

    # "sha256:..." of `data`.
    digest: str
    # A zip file.
    data: bytes
    # Paths in it, sorted, relative to the workflow's directory.
    files: tuple[str, ...]


def make_bundle(
    root: Path,
    *,
    needed: Mapping[str, Source] | None = None,
    wanted: Collection[str] = (),
    max_bytes: int = MAX_BYTES,
) -> Bundle:
    """Packs the directory `root`, without what .kaonignore and the defaults leave out.

    Args:
        root: the directory.
        needed: paths in it that steps cannot do without, with the lines that ask for them: whatever the defaults say, they are in.
        wanted: paths that are in whatever the defaults say, unless .kaonignore leaves them out.
        max_bytes: how large it may be.

    Raises:
        WorkflowError: it is larger than `max_bytes`, a file cannot be read, or .kaonignore leaves out what is needed.
    """
    try:
        found = _found(root, needed or {}, wanted)
        files = sorted(found, key=lambda file: file.relative_to(root).as_posix())
        _check_size(root, files, max_bytes)
        buffer = io.BytesIO()
        # Stored, not compressed: the bytes then depend on no version of a compressor.
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.writestr(_entry(root, file), _content(root, file, max_bytes))
    except OSError as error:
        raise WorkflowError(f"the code bundle cannot be made: {error}") from error
    data = buffer.getvalue()
    names = tuple(file.relative_to(root).as_posix() for file in files)
    return Bundle(digest=canonical.digest_bytes(data), data=data, files=names)


def digest_of_files(root: Path, files: Iterable[str]) -> str:
    """Return the digest of the names and contents of files of the bundle."""
    digest = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(_content(root, root / file, MAX_BYTES)).hexdigest()
        digest.update(f"{file}\0{content}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _entry(root: Path, file: Path) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(file.relative_to(root).as_posix(), _TIME)
    info.create_system = _UNIX
    info.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
    return info


def _found(root: Path, needed: Mapping[str, Source], wanted: Collection[str]) -> set[Path]:
    if environments.is_environment(root):
        raise WorkflowError(
            f"{root} is a Python environment itself; put the workflow's files into a directory of their own"
        )
    own = _own_rules(root) if (root / ignore.IGNORE_FILE).is_file() else []
    files = set(_files(root, ignore.parse(ignore.DEFAULTS) + own))
    files.update(root / path for path in wanted if not _problem(root, own, path))
    for path, source in needed.items():
        if root / path not in files:
            if problem := _problem(root, own, path):
                raise WorkflowError(problem, source)
            _check_file(root, root / path)
            files.add(root / path)
    return files


def _problem(root: Path, own: list[ignore.Rule], path: str) -> str:
    """Why a file that a step needs is left out nevertheless; empty when it is not."""
    if environments.holds(root, root / path):
        return f"{path} lies in a Python environment, which no code bundle holds"
    rule = _excluding(own, PurePosixPath(path))
    if rule is None:
        return ""
    return (
        f"{path} is left out of the code bundle by line {rule.line} of {ignore.IGNORE_FILE} ({rule.text}), "
        f"but this line needs it; remove that rule, or take the file in with !{path}"
    )


def _excluding(own: list[ignore.Rule], path: PurePosixPath) -> ignore.Rule | None:
    """Return the rule of the ignore file that leaves a file out, or a directory around it."""
    decides = ignore.deciding(own, str(path), directory=False)
    if decides is not None:
        return None if decides.keeps else decides
    around = (ignore.deciding(own, str(parent), directory=True) for parent in path.parents)
    return next((rule for rule in around if rule is not None and not rule.keeps), None)


def _files(root: Path, rules: list[ignore.Rule]) -> Iterator[Path]:
    for directory, folders, names in os.walk(root):
        here = Path(directory)
        folders[:] = sorted(
            name for name in folders if not _out(rules, root, here / name, directory=True)
        )
        for name in folders:
            _check_folder(root, here / name)
        for name in names:
            if not _out(rules, root, here / name, directory=False):
                _check_file(root, here / name)
                yield here / name


def _out(rules: list[ignore.Rule], root: Path, path: Path, *, directory: bool) -> bool:
    if directory and (environments.is_environment(path) or (path / _STATE_FILE).is_file()):
        return True
    return ignore.ignored(rules, path.relative_to(root).as_posix(), directory=directory)


def _check_folder(root: Path, folder: Path) -> None:
    if folder.is_symlink():
        raise WorkflowError(
            f"{folder.relative_to(root)} in {root} is a link to a directory, which a code bundle cannot hold; "
            f"name it in {ignore.IGNORE_FILE}, or put the files there"
        )


def _own_rules(root: Path) -> list[ignore.Rule]:
    """Return the rules of the directory's own ignore file."""
    text = _content(root, root / ignore.IGNORE_FILE, _IGNORE_BYTES)
    try:
        return ignore.parse(text.decode().splitlines())
    except (UnicodeDecodeError, re.error) as error:
        raise WorkflowError(f"{root / ignore.IGNORE_FILE} cannot be understood: {error}") from error


def _check_file(root: Path, file: Path) -> None:
    """Refuses what is no plain file, or a link to one: reading it may never end."""
    told = (
        str(file.relative_to(root))
        .encode(errors="surrogateescape")
        .decode(errors="backslashreplace")
    )
    if told != str(file.relative_to(root)):
        raise WorkflowError(
            f"the name of {told} in {root} is not UTF-8: name it in {ignore.IGNORE_FILE}, or rename it"
        )
    if not stat.S_ISREG(file.stat().st_mode):
        raise WorkflowError(
            f"{told} in {root} is neither a file nor a directory, which a code bundle cannot hold; "
            f"name it in {ignore.IGNORE_FILE}, or remove it"
        )


def _content(root: Path, file: Path, most: int) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise WorkflowError(f"{file.relative_to(root)} in {root} is no plain file")
        data = content.read(most + 1)
    if len(data) > most:
        raise WorkflowError(f"{file.relative_to(root)} in {root} has more than {most} bytes")
    return data


def _check_size(root: Path, files: list[Path], max_bytes: int) -> None:
    sizes = {file: file.stat().st_size for file in files}
    total = sum(sizes.values())
    if total <= max_bytes:
        return
    largest = sorted(sizes, key=lambda file: -sizes[file])[:3]
    named = ", ".join(f"{file.relative_to(root)} ({_mebibytes(sizes[file])})" for file in largest)
    raise WorkflowError(
        f"the code bundle of {root} would be {_mebibytes(total)}; the limit is {_mebibytes(max_bytes)}. "
        f"Largest files: {named}. Name what steps do not load in {ignore.IGNORE_FILE}; data belongs into artifacts"
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
