"""ArtifactService: what runs produced. The caller names a run of its tenant, never a digest alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from kaon_artifacts import Artifact, ArtifactStore
from kaon_coordinator.api import pieces, places, run_artifacts
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire.errors import InvalidValue
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc

_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class ArtifactParts:
    """What the service works with."""

    store: StoreCalls[places.PlaceStore]
    artifacts: ArtifactStore


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
        # Where it is kept follows from its digest: the address in the output is the step's word.
        kept = self._parts.artifacts.by_digest(found.digest)
        artifact = Artifact(uri=kept.uri, digest=kept.digest, size=found.size_bytes)
        told = f"artifact {found.output} of {found.path or 'the run'}"
        pieces.check_offset(artifact, request.offset, told)
        yield a.ReadArtifactResponse(artifact=found)
        async for data in pieces.read(self._parts.artifacts, artifact, request.offset, told):
            yield a.ReadArtifactResponse(data=data)

    async def _run(self, run_id: str) -> RunRecord:
        tenant = principal.current().tenant
        return await self._parts.store.read(self._parts.store.store.get_run, tenant, run_id)


def _position(token: str) -> int:
    if token and not token.isdecimal():
        raise InvalidValue(f"page_token {token!r}: give the token of the page before")
    return int(token or 0)
