"""Renews artifacts that a request needs again, before a collection deletes them."""

from __future__ import annotations

import asyncio
import time

import structlog

from kaon_artifacts import ArtifactMissing, ArtifactStore, StoreUnavailable
from kaon_coordinator.store.reference_sql import digests_in
from kaon_wire.errors import NotFound

log = structlog.get_logger(__name__)

# An artifact renewed within this time is not renewed again.
_SECONDS = 1_800.0
# Number of remembered digests.
_KNOWN = 10_000


class ArtifactRenewal:
    """Renews artifacts by digest, each at most once per interval."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self._artifacts = artifacts
        self._renewed: dict[str, float] = {}

    async def bundle(self, digest: str) -> None:
        """Renew the code bundle of a version whose runs begin.

        Raises:
            NotFound: The bundle was deleted.
        """
        if digest and not await self._renew(digest):
            raise NotFound(
                f"code bundle {digest} was deleted, for no run of this version was left: register the workflow again"
            )

    async def named_in(self, *texts: bytes) -> None:
        """Renew every artifact that a request names. A missing one fails the step that reads it."""
        for text in texts:
            for value in digests_in(text):
                await self._renew(f"sha256:{value}")

    async def _renew(self, digest: str) -> bool:
        """Renew an artifact and tell whether it exists.

        Unresponsive storage counts as yes: no submission waits for it, and no collection deletes from it
        meanwhile.
        """
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
