"""ArtifactService: what runs produced. The caller names a run of its tenant, never a digest alone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from kaon_artifacts import Artifact, ArtifactError, ArtifactStore
from kaon_artifacts.artifact import DIRECTORY, FILE
from kaon_artifacts.names import checked_name
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.api import pieces, places, run_artifacts
from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.receiving import Receiving, check_digest
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc

log = structlog.get_logger(__name__)

_PAGE = 500
# Types of artifacts, as outputs and parameters declare them.
TYPES = ("dataset", "model", "metrics", "plot", "table", "text", "file")
LARGEST_ARTIFACT = 1024**3
_ADVICE = "put larger data where steps read it, and give its address as a text"


@dataclass(frozen=True, kw_only=True)
class ArtifactParts:
    """What the service works with."""

    store: StoreCalls[places.PlaceStore]
    artifacts: ArtifactStore
    grants: Grants
    quotas: Quotas


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Lists and reads the artifacts of a caller's runs."""

    def __init__(self, parts: ArtifactParts) -> None:
        self._parts = parts

    async def ListArtifacts(  # noqa: N802
        self, request: a.ListArtifactsRequest, context: Any
    ) -> a.ListArtifactsResponse:
        """List the artifacts among the outputs of a run."""
        run = await self._run(request.run_id)
        store = self._parts.store
        found = await store.study(run_artifacts.listed, store.store, run, request.path)
        first = _position(request.page_token)
        last = first + (request.page_size or _PAGE)
        return a.ListArtifactsResponse(
            artifacts=found[first:last], next_page_token=str(last) if last < len(found) else ""
        )

    async def ReadArtifact(  # noqa: N802
        self, request: a.ReadArtifactRequest, context: Any
    ) -> AsyncIterator[a.ReadArtifactResponse]:
        """Stream the bytes of one artifact."""
        run = await self._run(request.run_id)
        store = self._parts.store
        found = await store.study(
            run_artifacts.the_one, store.store, run, request.path, request.output
        )
        await self._parts.grants.check(principal.current(), {found.digest.removeprefix("sha256:")})
        # Where it is kept follows from its digest: the address in the output is the step's word.
        kept = self._parts.artifacts.by_digest(found.digest)
        artifact = Artifact(uri=kept.uri, digest=kept.digest, size=found.size_bytes)
        told = f"artifact {found.output} of {found.path or 'the run'}"
        pieces.check_offset(artifact, request.offset, told)
        yield a.ReadArtifactResponse(artifact=found)
        async for data in pieces.read(self._parts.artifacts, artifact, request.offset, told):
            yield a.ReadArtifactResponse(data=data)

    async def PutArtifact(  # noqa: N802
        self, request_iterator: AsyncIterator[a.PutArtifactRequest], context: Any
    ) -> a.PutArtifactResponse:
        """Store an artifact that arrives in pieces; its digest must be the announced one."""
        header, tenant = a.PutArtifactHeader(), principal.current().tenant
        with tempfile.NamedTemporaryFile(prefix="kaon-artifact-") as target:
            received = Receiving(target, "the artifact", LARGEST_ARTIFACT, _ADVICE)
            async with self._parts.quotas.upload(tenant):
                async for piece in request_iterator:
                    if piece.HasField("header"):
                        header = _checked(piece.header)
                    await received.add(piece.data)
            digest = received.checked(header.digest).removeprefix("sha256:")
            if not await self._parts.grants.has(tenant, digest):
                await self._parts.quotas.check_bytes(tenant, received.size)
            target.flush()
            kept = await asyncio.to_thread(
                self._parts.artifacts.put_file, Path(target.name), header.type, name=""
            )
        await self._parts.grants.give(tenant, {digest: received.size})
        kept = replace(kept, name=header.name, media_type=header.media_type or FILE)
        log.info("artifact stored", digest=kept.digest, size=kept.size, name=kept.name)
        told = a.RunArtifact(
            type=kept.type,
            digest=kept.digest,
            name=kept.name,
            size_bytes=kept.size,
            media_type=kept.media_type,
            uri=kept.uri,
        )
        value = canonical.dumps({"artifact": kept.to_json()})
        return a.PutArtifactResponse(artifact=told, value_json=value)

    async def _run(self, run_id: str) -> RunRecord:
        tenant = principal.current().tenant
        return await self._parts.store.read(self._parts.store.store.get_run, tenant, run_id)


def _checked(header: a.PutArtifactHeader) -> a.PutArtifactHeader:
    check_digest(header.digest)
    if header.type not in TYPES:
        raise InvalidValue(f"type {header.type[:80]!r}: use one of {', '.join(TYPES)}")
    if header.media_type not in ("", FILE, DIRECTORY):
        raise InvalidValue(
            f"media_type {header.media_type[:80]!r}: leave it empty, or use {DIRECTORY} for a directory"
        )
    try:
        checked_name(header.name)
    except ArtifactError as error:
        raise InvalidValue(f"name: {error}") from error
    return header


def _position(token: str) -> int:
    if token and not token.isdecimal():
        raise InvalidValue(f"page_token {token!r}: give the token of the page before")
    return int(token or 0)
