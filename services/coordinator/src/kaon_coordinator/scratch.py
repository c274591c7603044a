"""Removes the scratch space of ended runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from kaon_artifacts.filesystem import open_filesystem
from kaon_coordinator.faults import going_on

log = structlog.get_logger(__name__)

# Returns which of these runs have ended or are unknown.
Ended = Callable[[Iterable[str]], Awaitable[set[str]]]


class ScratchSpace:
    """The directories `<base>/<run>` that steps use as scratch space, on any supported storage.

    Args:
        base_url: `hdfs://...` or `file:///...`; the same as the runners'.
        ended: Returns which runs have ended.
    """

    def __init__(self, base_url: str, ended: Ended) -> None:
        place = open_filesystem(base_url)
        self._fs, self._root = place.fs, place.root
        self._ended = ended
        self._done: asyncio.Queue[str] = asyncio.Queue()

    def run_ended(self, run_id: str) -> None:
        """Queue the removal of an ended run's scratch space."""
        self._done.put_nowait(run_id)

    async def run(self) -> None:
        """Remove the space of earlier ended runs, then of each ending run, until cancelled.

        Errors of the storage are logged: the next start finds the remaining space.
        """
        with going_on("scratch space was swept"):
            await self._sweep()
        while True:
            with going_on("scratch space was removed"):
                await self._remove(await self._done.get())

    async def _sweep(self) -> None:
        try:
            found = await asyncio.to_thread(self._list)
        except OSError as error:
            log.warning("scratch space not swept", reason=str(error))
            return
        for run_id in sorted(await self._ended(found)):
            await self._remove(run_id)

    def _list(self) -> list[str]:
        if not self._fs.exists(self._root):
            return []
        return [
            path.rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False)
        ]

    async def _remove(self, run_id: str) -> None:
        try:
            await asyncio.to_thread(self._remove_now, f"{self._root}/{run_id}")
        except OSError as error:
            log.warning("scratch space not removed", run=run_id, reason=str(error))

    def _remove_now(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)
