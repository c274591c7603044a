"""Renews artifacts that a caller begins to need again, and that a collection might be about to delete."""

from __future__ import annotations

import asyncio
import time

import structlog

from kaon_artifacts import ArtifactMissing, ArtifactStore, StoreUnavailable
from kaon_coordinator.store.references import digests_in
from kaon_wire.errors import NotFound

log = structlog.get_logger(__name__)

# What was renewed within this time need not be renewed again.
_SECONDS = 1_800.0
# So many digests are remembered.
_KNOWN = 10_000


class ArtifactRenewal:
    """Renews artifacts by digest, each once in a while."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._renewed: dict[str, float] = {}

    async def bundle(self, digest: str) -> None:
        """The code bundle of a version of which runs begin.

        Raises:
            NotFound: it is gone.
        """
        if digest and not await self._renew(digest):
            raise NotFound(
                f"code bundle {digest} was deleted, for no run of this version was left: register the workflow again"
            )

    async def named_in(self, *texts: bytes) -> None:
        """Every artifact that is named in what a caller says. One that is not here is the business of the step that reads it."""
        for text in texts:
            for value in digests_in(text):
                await self._renew(f"sha256:{value}")

    async def _renew(self, digest: str) -> bool:
        """Says whether it is there. Storage that does not answer counts as yes: no submission waits for it, and while it is away
        nobody deletes anything in it."""
        now = time.monotonic()
        if now - self._renewed.get(digest, -_SECONDS) < _SECONDS:
            return True
        try:
            await asyncio.to_thread(self._artifacts.renew, self._artifacts.by_digest(digest))
        except ArtifactMissing:
            return False
        except StoreUnavailable as error:
            log.warning("artifact not renewed", digest=digest, reason=str(error))
            return True
        if len(self._renewed) >= _KNOWN:
            self._renewed.clear()
        self._renewed[digest] = now
        return True
