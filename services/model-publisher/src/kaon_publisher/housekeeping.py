"""Deletes unneeded images: pushed but never announced ones, and those of versions beyond the kept ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial

import structlog

from kaon_publisher.publishing import repository
from kaon_publisher.pushing import Target
from kaon_publisher.store.registry import ModelStore
from kaon_service.background import in_rounds
from kaon_wire.errors import KaonError

log = structlog.get_logger(__name__)

# An image that was pushed this long ago and is not announced belongs to a dead publication. A repeated
# publication pushes it again.
ABANDONED_SECONDS = 3600.0


class Housekeeping:
    """Cleans up beside publications, one image at a time.

    Args:
        store: The model registry.
        target: The place of images.
        pushing: Held during a push, so that no image is deleted while it is pushed again.
        keep: The number of a model's newest versions that keep their images; 0: all.
        now_us: Returns microseconds since the epoch.
    """

    def __init__(
        self,
        *,
        store: ModelStore,
        target: Target,
        pushing: threading.Lock,
        keep: int,
        now_us: Callable[[], int],
        abandoned_seconds: float = ABANDONED_SECONDS,
    ) -> None:
        self._store = store
        self._target = target
        self._pushing = pushing
        self._keep = keep
        self._now_us = now_us
        self._abandoned_us = int(abandoned_seconds * 1e6)

    async def run(self, pause_seconds: float) -> None:
        """Clean up now and after every pause, until cancelled. Retry when a service does not answer.

        Raises:
            Exception: An unforeseen error.
        """
        await in_rounds(
            "housekeeping",
            partial(asyncio.to_thread, self.clean),
            partial(asyncio.sleep, pause_seconds),
            passing=(KaonError, OSError),
        )

    def clean(self) -> None:
        """Clean up once.

        Raises:
            KaonError: The registry or the database does not answer.
        """
        for tenant, model, digest in self._store.abandoned(self._now_us() - self._abandoned_us):
            self._delete_abandoned(tenant, model, digest)
        if self._keep:
            for tenant, model in self._store.models():
                self._retire(tenant, model)

    def _delete_abandoned(self, tenant: str, model: str, digest: str) -> None:
        with self._pushing:
            still = (tenant, model, digest) in self._store.abandoned(
                self._now_us() - self._abandoned_us
            )
            if not still:
                return
            if not self._store.needs(tenant, model, digest):
                self._target.delete(repository(tenant, model), digest)
                log.info("unannounced image deleted", model=model, digest=digest)
            self._store.forget_push(tenant, model, digest)

    def _retire(self, tenant: str, model: str) -> None:
        for version in self._store.retirable(tenant, model, self._keep):
            with self._pushing:
                # First the mark, then the deletion: a version that is not marked has its image. An image left
                # by a crash between the two is found as one that was pushed and is not needed.
                self._store.begin_push(tenant, model, version.image_digest, 0)
                self._store.retire(version)
                if not self._store.needs(tenant, model, version.image_digest):
                    self._target.delete(repository(tenant, model), version.image_digest)
                self._store.forget_push(tenant, model, version.image_digest)
            log.info("version retired", model=model, version=version.version)
