"""Reads stored content piece by piece, for streams to clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kaon_artifacts import Artifact, ArtifactError, ArtifactMissing, ArtifactStore
from kaon_wire.errors import InvalidValue, NotFound, Unavailable

_PIECE_BYTES = 256 * 1024


def check_offset(artifact: Artifact, offset: int, told: str) -> None:
    """Refuse an offset beyond the end.

    Args:
        artifact: what is read.
        offset: bytes to skip.
        told: how errors name the content, such as "the log of step train".

    Raises:
        InvalidValue: the content is shorter.
    """
    if offset > artifact.size:
        raise InvalidValue(f"offset {offset}: {told} has {artifact.size} bytes")


async def read(
    artifacts: ArtifactStore, artifact: Artifact, offset: int, told: str
) -> AsyncIterator[bytes]:
    """Yield the content from byte `offset` on. Arguments as for `check_offset`.

    Raises:
        NotFound: the store no longer keeps it.
        Unavailable: the artifact store does not answer.
    """
    source = await asyncio.to_thread(opened, artifacts, artifact, offset, told)
    try:
        while data := await asyncio.to_thread(piece, artifacts, source, told):
            yield data
    finally:
        await asyncio.to_thread(source.close)


def opened(artifacts: ArtifactStore, artifact: Artifact, offset: int, told: str) -> Any:
    """Return the content as a file, at a byte of it. Arguments and errors are those of `read`."""
    try:
        source = artifacts.open(artifact)
        with artifacts.talking():
            source.seek(offset)
        return source
    except ArtifactMissing as error:
        raise NotFound(f"{told} was deleted from the artifact store: {error}") from error
    except ArtifactError as error:
        raise Unavailable(f"{told} cannot be read: {error}") from error


def piece(artifacts: ArtifactStore, source: Any, told: str) -> bytes:
    """Return the next bytes of opened content; empty at its end.

    Raises:
        Unavailable: the artifact store does not answer.
    """
    try:
        with artifacts.talking():
            return bytes(source.read(_PIECE_BYTES))
    except ArtifactError as error:
        raise Unavailable(f"{told} cannot be read on: {error}") from error
