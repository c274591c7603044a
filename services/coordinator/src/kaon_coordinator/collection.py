"""Garbage collection of artifacts and code bundles. By hand: `python -m kaon_coordinator.collection --dry-run`.

A round collects the names in runs, memos, schedules and workflows from the database. It then sweeps the
artifact store, which spares young and pinned artifacts. Any artifact that is needed meanwhile is young: it
was written or renewed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from typing import Protocol

import structlog

from kaon_artifacts import ArtifactMissing, ArtifactStore, Sweeper, Swept
from kaon_coordinator.faults import going_on
from kaon_coordinator.settings import settings_from
from kaon_coordinator.store.base import References
from kaon_coordinator.store.protocols.grant_store import GrantStore
from kaon_coordinator.store.protocols.reference_store import ReferenceStore
from kaon_coordinator.store.reference_sql import note
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_telemetry.logs import configure_logs
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_wire.errors import KaonError
from kaon_wire.texts import counted

log = structlog.get_logger(__name__)

# Interval between two rounds of any coordinators, and between two checks whether one is due.
EVERY_SECONDS = 86_400.0
LOOK_SECONDS = 1_800.0


class CollectedStore(ReferenceStore, GrantStore, Protocol):
    """What still names artifacts, and who has them."""


class Collection:
    """The collection of one coordinator.

    Args:
        store: The database.
        artifacts: The artifacts, all of which belong to this database.
        days: How long unneeded artifacts are kept.
        owner: The name of this process.
        metrics: The metrics to update.

    Raises:
        InvalidValue: `days` is less than one.
    """

    def __init__(
        self,
        store: StoreCalls[CollectedStore],
        artifacts: ArtifactStore,
        *,
        days: float,
        owner: str,
        metrics: CoordinatorMetrics,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._seconds = days * 86_400
        self._sweeper = Sweeper(
            artifacts, owner, self._seconds, deleted=store.store.forget_artifact
        )
        self._metrics = metrics

    async def run(self) -> None:
        """Make a round whenever the last one is a day old, until cancelled. Errors are retried later."""
        while True:
            # Sleep first: a short-lived process has nothing to clean up.
            await asyncio.sleep(LOOK_SECONDS)
            with going_on("artifacts were collected"):
                if await asyncio.to_thread(self._sweeper.due, EVERY_SECONDS):
                    await self.once()

    async def once(self) -> Swept:
        """Make one round.

        Raises:
            KaonError: The database or the storage does not answer.
        """
        swept = await self._store.study(self._sweep)
        self._metrics.artifacts_deleted.inc(swept.deleted)
        self._metrics.artifacts_deleted_bytes.inc(swept.deleted_bytes)
        self._metrics.artifacts_kept.set(swept.kept)
        self._metrics.artifacts_kept_bytes.set(swept.kept_bytes)
        self._metrics.artifacts_swept_time.set(time.time())
        log.info(
            "artifacts collected",
            deleted=swept.deleted,
            deleted_bytes=swept.deleted_bytes,
            kept=swept.kept,
        )
        return swept

    def _sweep(self) -> Swept:
        return self._sweeper.sweep(needed(self._store.store, self._artifacts, self._seconds))


def needed(store: ReferenceStore, artifacts: ArtifactStore, grace_seconds: float) -> set[str]:
    """Return the hex digits of all digests that must stay.

    Raises:
        KaonError: The database or the storage does not answer.
    """
    found: References = store.references(int((time.time() - grace_seconds) * 1e6))
    digests, waiting = set(found.digests), set(found.values)
    seen: set[str] = set()
    while waiting:
        value = waiting.pop()
        seen.add(value)
        try:
            with (
                artifacts.talking(),
                artifacts.open(artifacts.by_digest(f"sha256:{value}")) as content,
            ):
                for piece in content:
                    note(piece, digests, waiting)
        except ArtifactMissing:
            # The value of a deleted run, collected earlier: it names nothing any more.
            continue
        waiting -= seen
    return digests


def main() -> int:
    """Run one collection with the coordinator's settings; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kaon_coordinator.collection", description=__doc__
    )
    parser.add_argument("--dry-run", action="store_true", help="only count what would be deleted")
    arguments = parser.parse_args()
    configure_logs()
    try:
        settings = settings_from(os.environ)
        if not settings.keep.artifact_days:
            print("KAON_ARTIFACT_RETENTION_DAYS is 0: artifacts are kept for ever", file=sys.stderr)
            return 1
        swept = _by_hand(
            settings.database, settings.artifacts, settings.keep.artifact_days, arguments.dry_run
        )
    except KaonError as error:
        print(error, file=sys.stderr)
        return 1
    word = "would delete" if arguments.dry_run else "deleted"
    print(
        f"{word} {counted(swept.deleted, 'artifact')} ({swept.deleted_bytes} bytes), "
        f"{counted(swept.kept, 'stays', 'stay')} ({swept.kept_bytes} bytes)"
    )
    return 0


def _by_hand(database: str, address: str, days: float, dry_run: bool) -> Swept:
    artifacts = ArtifactStore(address)
    store = open_store(database)
    owner = f"by-hand-{os.getpid()}"
    try:
        sweeper = Sweeper(artifacts, owner, days * 86_400, deleted=store.forget_artifact)
        return sweeper.sweep(needed(store, artifacts, days * 86_400), dry_run=dry_run)
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
