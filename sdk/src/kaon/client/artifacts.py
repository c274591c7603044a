"""The client's side of artifacts: what runs produced."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import grpc

from kaon.client.calling import Caller
from kaon.client.errors import KaonError
from kaon.client.resuming import Opening, Resuming
from kaon.client.retrying import Patience
from kaon.step.artifact import Artifact
from kaon_wire import bounds, canonical
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc

_PAGE = 5_000
_PIECE_BYTES = 1024 * 1024
_DIRECTORY = "application/x-tar"


class Artifacts:
    """Lists, reads and downloads the artifacts of runs; `Client.artifacts` is one. Errors are those of `Client`."""

    def __init__(self, caller: Caller, channel: grpc.Channel, patience: Patience) -> None:
        self._caller = caller
        self._stub = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        self._patience = patience

    def list(self, run_id: str, path: str = "") -> Iterator[a.RunArtifact]:
        """Yield the artifacts of a run, in the order in which its steps were created.

        Args:
            run_id: the run.
            path: path or name of a step, block or cell: only what it and those under it produced.
        """
        request = bounds.made(a.ListArtifactsRequest, run_id=run_id, path=path, page_size=_PAGE)
        for page in self._caller.pages(self._stub.ListArtifacts, request):
            yield from page.artifacts

    def find(self, run_id: str, path: str = "", output: str = "") -> a.RunArtifact:
        """Describe one artifact; arguments as for `read`."""
        first = next(iter(self._messages(run_id, path, output, offset=0)))
        return first.artifact

    def read(self, run_id: str, path: str = "", output: str = "") -> Iterator[bytes]:
        """Yield the bytes of one artifact, piece by piece; of a directory, those of its tar file.

        Args:
            run_id: the run that produced it.
            path: path or name of the step or block; empty for an output of the run itself.
            output: name of the output, such as "model" or "parts[3]"; empty when there is only one artifact.

        Raises:
            NotFound: there is none. FailedPrecondition: the name is not clear, or the artifact is kept elsewhere.
        """

        def opened(offset: int) -> Iterator[Opening | bytes]:
            for message in self._messages(run_id, path, output, offset):
                if message.HasField("artifact"):
                    yield Opening(size=message.artifact.size_bytes, digest=message.artifact.digest)
                if message.data:
                    yield message.data

        return Resuming(opened, f"artifact {output or path}").read(self._patience)

    def download(
        self, run_id: str, path: str = "", output: str = "", *, to: Path | None = None
    ) -> Path:
        """Copy one artifact to a file or directory, which appears when it is complete, and return its path.

        Args:
            run_id: the run that produced it.
            path: as for `read`.
            output: as for `read`.
            to: where it goes: a path that does not exist, or a directory to put it into under its own name.

        Raises:
            KaonError: the path exists, cannot be written, or the bytes do not have the artifact's digest.
        """
        found = self.find(run_id, path, output)
        target = _target(found, to)
        try:
            with tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".{target.name[:100]}."
            ) as directory:
                content = Path(directory) / "content"
                self._write(content, found, self.read(run_id, found.path, found.output))
                if found.media_type == _DIRECTORY:
                    content = _unpacked(content)
                content.rename(target)
        except (OSError, tarfile.TarError) as error:
            raise KaonError(f"cannot write {target}: {error}") from error
        return target

    def put(self, path: Path, type_: str = "file", *, name: str = "") -> Artifact:
        """Store a file or directory, and return the value that a parameter of an artifact type takes.

        Args:
            path: the file or directory.
            type_: "dataset", "model", "metrics", "plot", "table", "text" or "file".
            name: its name; empty: that of the path.

        Raises:
            KaonError: the path cannot be read, or the artifact is refused.
        """
        try:
            with tempfile.TemporaryFile() as packed:
                is_directory = path.is_dir()
                content: IO[bytes] = packed if is_directory else path.open("rb")
                with content:
                    if is_directory:
                        _pack(path, packed)
                    header = a.PutArtifactHeader(
                        digest=_digest(content),
                        type=type_,
                        name=name or path.absolute().name,
                        media_type=_DIRECTORY if is_directory else "",
                    )
                    response = self._caller.upload(
                        self._stub.PutArtifact, lambda: _pieces(header, content)
                    )
        except OSError as error:
            raise KaonError(f"cannot read {path}: {error}") from error
        return Artifact.from_reference(canonical.loads(response.value_json)["artifact"])

    def _write(self, content: Path, found: a.RunArtifact, pieces: Iterator[bytes]) -> None:
        digest = hashlib.sha256()
        with content.open("wb") as target:
            for piece in pieces:
                digest.update(piece)
                target.write(piece)
        got = f"sha256:{digest.hexdigest()}"
        if got != found.digest:
            raise KaonError(
                f"artifact {found.output} has digest {got}, not {found.digest}: it is damaged"
            )

    def _messages(
        self, run_id: str, path: str, output: str, offset: int
    ) -> Iterator[a.ReadArtifactResponse]:
        request = bounds.made(
            a.ReadArtifactRequest, run_id=run_id, path=path, output=output, offset=offset
        )
        return self._caller.stream(self._stub.ReadArtifact, request)


def _pack(directory: Path, target: IO[bytes]) -> None:
    """Write a directory as a tar file that depends on names, contents and executability only."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime = entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            tar.add(path, str(path.relative_to(directory)), recursive=False, filter=plain)


def _digest(content: IO[bytes]) -> str:
    content.seek(0)
    digest = hashlib.sha256()
    while data := content.read(_PIECE_BYTES):
        digest.update(data)
    return f"sha256:{digest.hexdigest()}"


def _pieces(header: a.PutArtifactHeader, content: IO[bytes]) -> Iterator[a.PutArtifactRequest]:
    content.seek(0)
    yield a.PutArtifactRequest(header=header)
    while data := content.read(_PIECE_BYTES):
        yield a.PutArtifactRequest(data=data)


def _target(found: a.RunArtifact, to: Path | None) -> Path:
    """Choose where an artifact goes. Its name is the step's word, so no directory of it counts.

    Raises:
        KaonError: something is there.
    """
    name = Path(found.name).name or f"{found.output.replace('/', '-')}"
    target = Path(name) if to is None else to / name if to.is_dir() else to
    if target.exists() or target.is_symlink():
        raise KaonError(f"{target} exists: give another path")
    return target


def _unpacked(packed: Path) -> Path:
    """Unpack a tar file beside itself.

    Raises:
        KaonError: an entry is no file, directory or link, or it leads out of the directory.
    """
    directory = packed.with_name("directory")
    directory.mkdir()
    with tarfile.open(packed) as tar:
        for entry in tar:
            _unpack_entry(tar, entry, directory)
    return directory


def _unpack_entry(tar: tarfile.TarFile, entry: tarfile.TarInfo, directory: Path) -> None:
    place = directory / entry.name
    inside = [place.parent / entry.linkname] if entry.issym() else [place]
    if not all(each.resolve().is_relative_to(directory.resolve()) for each in inside):
        raise KaonError(f"the artifact's entry {entry.name!r} leads out of its directory")
    place.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is not None:
        with place.open("xb") as target:
            shutil.copyfileobj(content, target)
        place.chmod(entry.mode & 0o777)
    elif entry.isdir():
        place.mkdir(exist_ok=True)
    elif entry.issym():
        place.symlink_to(entry.linkname)
    else:
        raise KaonError(f"the artifact's entry {entry.name!r} is no file, directory or link")
