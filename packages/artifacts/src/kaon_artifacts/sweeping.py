"""Sweeps: delete artifacts that no database row needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from kaon_artifacts.store import RENEW_SECONDS, ArtifactStore
from kaon_artifacts.times import written_at
from kaon_wire.errors import InvalidValue

_PLACE = re.compile(r"/sha256/[0-9a-f]{2}/([0-9a-f]{64})\Z")
# The time between writing or renewing an artifact and naming it in the database must be shorter than the rest
# of it.
SHORTEST_GRACE_SECONDS = 24 * RENEW_SECONDS


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One artifact in a store."""

    # The digest's hex digits.
    value: str
    # Bytes.
    size: int
    # When it was written or renewed, in seconds since the epoch.
    time: float


@dataclass(kw_only=True)
class Swept:
    """The result of a sweep."""

    # Artifacts that stay, and their bytes.
    kept: int = 0
    kept_bytes: int = 0
    # Artifacts that were deleted, or in a dry run would be.
    deleted: int = 0
    deleted_bytes: int = 0


class Sweeper:
    """Deletes old artifacts that are not needed. Any number may work at once, beside writers.

    Args:
        store: The artifacts.
        owner: A name that no other process has at the same time.
        grace_seconds: How long an unneeded artifact is kept after it was written or renewed.
        deleted: Hears of each deletion, by the hex digits of the digest, before anybody can store that artifact again.

    Raises:
        InvalidValue: The grace is shorter than the time that a step may take between storing and naming an artifact.
    """

    def __init__(
        self,
        store: ArtifactStore,
        owner: str,
        grace_seconds: float,
        *,
        deleted: Callable[[str], None] = lambda value: None,
    ) -> None:
        if grace_seconds < SHORTEST_GRACE_SECONDS:
            raise InvalidValue(
                f"artifacts must be kept for at least {SHORTEST_GRACE_SECONDS / 86_400:g} days, not {grace_seconds / 86_400:g}"
            )
        self._store = store
        self._owner = owner.replace("/", "-")
        self._grace = grace_seconds
        self._deleted = deleted

    def due(self, every_seconds: float) -> bool:
        """Tell whether the last sweep of any process is that long ago; if so, record the beginning of this one's."""
        marks = self._store.marks
        with self._store.talking():
            if time.time() - marks.swept_at() < every_seconds:
                return False
            marks.sweep_begins()
            marks.clear()
        return True

    def sweep(self, needed: Collection[str], *, dry_run: bool = False) -> Swept:
        """Delete artifacts that are neither needed nor pinned nor young.

        Args:
            needed: The hex digits of the digests that must stay. An artifact that becomes needed after they were collected must
                have been written or renewed (`ArtifactStore.renew`) since.
            dry_run: Only count.

        Raises:
            StoreUnavailable: The storage does not answer.
        """
        swept = Swept()
        with self._store.talking():
            pinned = self._store.marks.pinned()
            for kept in self._all():
                stays = kept.value in needed or kept.value in pinned or self._is_young(kept)
                if stays or not (dry_run or self._delete(kept.value)):
                    swept.kept += 1
                    swept.kept_bytes += kept.size
                else:
                    swept.deleted += 1
                    swept.deleted_bytes += kept.size
        return swept

    def _all(self) -> Iterator[Kept]:
        """Yield the artifacts directory by directory: all at once may be too many."""
        for number in range(256):
            directory = f"{self._store.root}/sha256/{number:02x}"
            try:
                found = self._store.fs.ls(directory, detail=True)
            except FileNotFoundError:
                # There is none, or a file was deleted during the listing: the next sweep finds the others.
                continue
            for info in found:
                if match := _PLACE.search(str(info["name"])):
                    yield Kept(
                        value=match[1], size=int(info.get("size") or 0), time=written_at(info)
                    )

    def _is_young(self, kept: Kept) -> bool:
        return time.time() - kept.time < self._grace

    def _delete(self, value: str) -> bool:
        """Delete an artifact and return whether it was deleted: it may have been renewed meanwhile.

        See `Marks`.
        """
        fs, path = self._store.fs, self._store.path_of(value)
        with self._store.marks.deleting(value, self._owner) as until:
            try:
                found = Kept(value=value, size=0, time=written_at(fs.info(path)))
                if self._is_young(found) or time.monotonic() > until:
                    return False
                fs.rm_file(path)
                self._store.marks.trust(value)
                # Before anybody can store it again.
                self._deleted(value)
            except FileNotFoundError:
                # Another sweeper was faster.
                return False
        return True
