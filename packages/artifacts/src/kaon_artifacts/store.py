"""The store: content under its digest."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

from kaon_artifacts import opening
from kaon_artifacts.archive import pack, unpack
from kaon_artifacts.artifact import DIRECTORY, FILE, Artifact
from kaon_artifacts.content import CHUNK, Checked, copy, measure
from kaon_artifacts.durable import move, sync, sync_directory
from kaon_artifacts.errors import (
    ArtifactError,
    ArtifactMissing,
    ArtifactSuspect,
    DigestMismatch,
    StoreUnavailable,
    Unreadable,
)
from kaon_artifacts.filesystem import open_filesystem, reason_of
from kaon_artifacts.marks import Marks
from kaon_artifacts.names import checked_name
from kaon_artifacts.times import touch, written_at

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
# Up to this size a packed directory stays in memory.
_SPOOL_BYTES = 8 << 20
# An artifact written within this time need not be renewed.
RENEW_SECONDS = 3600.0


class ArtifactStore:
    """Artifacts under one base URL. Thread-safe as far as the file system is; the supported ones are.

    Args:
        base_url: `file:///...`, `s3://bucket/...` or `hdfs://host:port/...`.

    Raises:
        InvalidValue: The kind of URL is not supported.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        place = open_filesystem(self.base_url)
        self._fs, self._root, self._prefix = place.fs, place.root, place.prefix
        self._scheme = place.scheme
        self.marks = Marks(place.fs, place.root)
        self._objects = place.objects
        self._failures: tuple[type[Exception], ...] = (OSError, *place.failures)

    def put_file(self, path: Path, type_: str = "file", *, name: str | None = None) -> Artifact:
        """Store a file.

        Args:
            path: The file.
            type_: Its type, for people.
            name: Its name; None for the path's last component, empty for no name.

        Raises:
            Unreadable: It is not a plain file (links are not), or its name is invalid.
            StoreUnavailable: It could not be written.
        """
        name = _name_of(path, name)
        with opening.file(path) as content:
            return replace(self._put(content, type_, FILE), name=name)

    def put_directory(
        self, path: Path, type_: str = "file", *, name: str | None = None
    ) -> Artifact:
        """Store a directory with everything in it. Arguments as in `put_file`.

        Raises:
            Unreadable: It contains something that cannot be stored, or its name is invalid.
            StoreUnavailable: It could not be written.
        """
        name = _name_of(path, name)
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as packed:
            pack(path, packed)
            packed.seek(0)
            return replace(self._put(packed, type_, DIRECTORY), name=name)

    def put_bytes(self, data: bytes, type_: str = "file") -> Artifact:
        """Store bytes as a file.

        Raises:
            StoreUnavailable: They could not be written.
        """
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as content:
            content.write(data)
            content.seek(0)
            return self._put(content, type_, FILE)

    def by_digest(self, digest: str, type_: str = "file") -> Artifact:
        """Return the artifact that has, or would have, this digest here."""
        return Artifact(uri=self._url(self._path(digest)), digest=digest, type=type_)

    def exists(self, artifact: Artifact) -> bool:
        """Tell whether the artifact is stored."""
        with self._translated(artifact):
            return bool(self._fs.exists(self._path_of(artifact)))

    def renew(self, artifact: Artifact) -> None:
        """Renew an artifact: a sweep that knows no use of it spares it.

        Call it before new data depends on an artifact that another process wrote.

        Raises:
            ArtifactMissing: It is not stored.
            ArtifactSuspect: A reader found it damaged, and it has not been written since.
            StoreUnavailable: The storage does not answer.
        """
        with self._translated(artifact):
            if self.marks.is_suspect(_value_of(artifact.digest)):
                raise ArtifactSuspect(
                    f"artifact {artifact.digest} at {artifact.uri} was found damaged"
                )
        self._renew(artifact)

    def _renew(self, artifact: Artifact) -> None:
        path = self._path_of(artifact)
        with self._translated(artifact):
            if time.time() - written_at(self._fs.info(path)) < RENEW_SECONDS:
                return
            touch(self._fs, path, self._scheme)
            self.marks.await_undisturbed(_value_of(artifact.digest))
            if not self._fs.exists(path):
                raise FileNotFoundError(path)

    def pin(self, artifact: Artifact) -> None:
        """Pin an artifact: no sweep deletes it.

        Raises:
            ArtifactMissing: It is not stored.
            StoreUnavailable: The storage does not answer.
        """
        self._renew(artifact)
        with self._translated(artifact):
            self.marks.pin(_value_of(artifact.digest))

    def open(self, artifact: Artifact) -> Any:
        """Open the stored bytes as a binary stream, unchecked.

        Raises:
            ArtifactMissing: It is not stored.
        """
        with self._translated(artifact):
            return self._fs.open(self._path_of(artifact), "rb")

    def fetch(self, artifact: Artifact, destination: Path) -> Path:
        """Copy an artifact to `destination`, which must not exist: a file, or a directory that is unpacked.

        Raises:
            ArtifactMissing: It is not stored.
            DigestMismatch: The stored content has another digest; nothing is left at the destination. The next `put` of the
                artifact writes it anew.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f".{destination.name}.{uuid.uuid4().hex}")
        try:
            with self.open(artifact) as source, partial.open("wb") as target:
                found = copy(source, target)
                sync(target)
            if found != artifact.digest:
                self._note_damage(artifact)
                raise DigestMismatch(f"{artifact.uri} has digest {found}, not {artifact.digest}")
            if artifact.is_directory:
                with partial.open("rb") as packed:
                    unpack(packed, destination)
            else:
                move(partial, destination)
        finally:
            partial.unlink(missing_ok=True)
        return destination

    def _note_damage(self, artifact: Artifact) -> None:
        try:
            with self.talking():
                self.marks.suspect(_value_of(artifact.digest))
        except StoreUnavailable:
            # The storage may be read-only. The error that is raised anyway reports the damage.
            return

    @property
    def fs(self) -> Any:
        """Return the fsspec file system, for a sweep."""
        return self._fs

    @property
    def root(self) -> str:
        """Return the store's path in the file system."""
        return self._root

    def path_of(self, value: str) -> str:
        """Return where the artifact with these hex digits is, or would be, in the file system."""
        return f"{self._root}/sha256/{value[:2]}/{value}"

    @contextmanager
    def talking(self) -> Iterator[None]:
        """Convert errors of the file system to `StoreUnavailable`."""
        try:
            yield
        except ArtifactError:
            raise
        except self._failures as error:
            raise StoreUnavailable(f"artifacts at {self.base_url}: {reason_of(error)}") from error

    def delete(self, artifact: Artifact) -> None:
        """Delete an artifact, unless it is missing."""
        with self._translated(artifact):
            try:
                self._fs.rm_file(self._path_of(artifact))
            except FileNotFoundError:
                return

    def _put(self, content: IO[bytes], type_: str, media_type: str) -> Artifact:
        digest, size = measure(content)
        artifact = Artifact(
            uri=self._url(self._path(digest)),
            digest=digest,
            type=type_,
            size=size,
            media_type=media_type,
        )
        try:
            if self._is_whole(artifact):
                self.renew(artifact)
                return artifact
            damaged = True
        except ArtifactMissing as error:
            damaged = isinstance(error, ArtifactSuspect)
        self._write_as(artifact, content)
        if damaged:
            self._settle(artifact, content)
        return artifact

    def _settle(self, artifact: Artifact, content: IO[bytes]) -> None:
        """Wait for a sweep that checked the overwritten content and may still delete it: see `Marks`."""
        value = _value_of(artifact.digest)
        with self._translated(artifact):
            self.marks.trust(value)
            self.marks.await_undisturbed(value)
            gone = not self._fs.exists(self._path_of(artifact))
        if gone:
            content.seek(0)
            self._write_as(artifact, content)

    def _is_whole(self, artifact: Artifact) -> bool:
        """Tell whether the stored content has the artifact's size: content truncated by a loss of power is written anew.

        Raises:
            ArtifactMissing: Nothing is stored.
        """
        with self._translated(artifact):
            return int(self._fs.info(self._path_of(artifact))["size"]) == artifact.size

    def _write_as(self, artifact: Artifact, content: IO[bytes]) -> None:
        with self._translated(artifact):
            try:
                self._write(Checked(content, artifact), self._path(artifact.digest))
            except FileNotFoundError as error:
                # No bucket, or no directory that could be made.
                raise StoreUnavailable(
                    f"artifact {artifact.uri} cannot be written: {error}"
                ) from error

    def _write(self, content: Checked, path: str) -> None:
        """Write so that no reader sees half of it."""
        if self._objects:
            self._write_object(content, path)
        else:
            self._write_and_rename(content, path)

    def _write_object(self, content: Checked, path: str) -> None:
        head = content.read(_SPOOL_BYTES + 1)
        if len(head) <= _SPOOL_BYTES:
            # One request, where parts would take three.
            content.check()
            self._fs.pipe_file(path, head)
            return
        target = self._fs.open(path, "wb", autocommit=False)
        try:
            target.write(head)
            shutil.copyfileobj(content, target, CHUNK)
            content.check()
            target.close()
            target.commit()
        except BaseException:
            target.discard()
            # It would be written after all when Python drops it.
            target.closed = True
            raise

    def _write_and_rename(self, content: Checked, path: str) -> None:
        """Write beside the place and move it there."""
        directory = path.rsplit("/", 1)[0]
        partial = f"{directory}/.{uuid.uuid4().hex}"
        self._fs.makedirs(directory, exist_ok=True)
        try:
            with self._fs.open(partial, "wb") as target:
                shutil.copyfileobj(content, target, CHUNK)
                content.check()
                if self._scheme == "file":
                    sync(target)
            self._make_room(path, content.size)
            self._fs.mv(partial, path)
            if self._scheme == "file":
                for place in (directory, directory.rpartition("/")[0], self._root):
                    sync_directory(place)
            # HDFS refuses to rename without raising: when the place is taken, or when it cannot.
            if self._fs.exists(partial):
                raise OSError(f"{partial} could not be renamed to {path}")
        except BaseException:
            if self._fs.exists(partial):
                self._fs.rm_file(partial)
            # Another writer may have moved the same content there first.
            if self._size_of(path) != content.size:
                raise

    def _make_room(self, path: str, size: int) -> None:
        """Remove damaged content: HDFS never moves a file onto an existing one."""
        if self._scheme != "hdfs" or (found := self._size_of(path)) is None:
            return
        if found != size or self.marks.is_suspect(path.rpartition("/")[2]):
            self._fs.rm_file(path)

    def _size_of(self, path: str) -> int | None:
        """Return the size in bytes; None when nothing is stored."""
        try:
            return int(self._fs.info(path)["size"])
        except FileNotFoundError:
            return None

    def _url(self, path: str) -> str:
        return self._prefix + (quote(path) if self._scheme == "file" else path)

    def _path(self, digest: str) -> str:
        return self.path_of(_value_of(digest))

    def _path_of(self, artifact: Artifact) -> str:
        path = artifact.uri.removeprefix(self._prefix)
        if self._scheme == "file":
            path = unquote(path)
        inside = path.startswith(f"{self._root}/") and ".." not in path.split("/")
        if not (inside and artifact.uri.startswith(self._prefix)):
            raise ArtifactError(f"{artifact.uri} is not in the store at {self.base_url}")
        return path

    @contextmanager
    def _translated(self, artifact: Artifact) -> Iterator[None]:
        try:
            yield
        except ArtifactError:
            raise
        except FileNotFoundError as error:
            raise ArtifactMissing(f"artifact {artifact.digest} is not at {artifact.uri}") from error
        except self._failures as error:
            raise StoreUnavailable(f"artifact {artifact.uri}: {reason_of(error)}") from error


def _name_of(path: Path, name: str | None) -> str:
    if name is None:
        name = "" if path.name == ".." else path.name
    try:
        return checked_name(name)
    except ArtifactError as error:
        raise Unreadable(f"its name {error}") from error


def _value_of(digest: str) -> str:
    """Return the hex digits of a digest."""
    check_digest(digest)
    return digest.removeprefix("sha256:")


def check_digest(digest: object) -> None:
    """Check a digest: nothing else ever becomes part of a path.

    Raises:
        ArtifactError: The text is not a digest.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ArtifactError(
            f"{str(digest)[:80]!r} is not a digest of the form sha256:<64 hex digits>"
        )
