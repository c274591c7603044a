"""Removes the scratch space of runs that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from kaon_artifacts.filesystem import open_filesystem
from kaon_coordinator.faults import going_on

log = structlog.get_logger(__name__)

# Says which of these runs have ended or are unknown.
Ended = Callable[[Iterable[str]], Awaitable[set[str]]]


class ScratchSpace:
    """The directories `<base>/<run>` that steps use as scratch space, wherever they are.

    Args:
        base_url: `hdfs://...` or `file:///...`; the same that the runners have.
        ended: asks which runs have ended.
    """

    def __init__(self, base_url: str, ended: Ended) -> None:
        place = open_filesystem(base_url)
        self._fs, self._root = place.fs, place.root
        self._ended = ended
        self._done: asyncio.Queue[str] = asyncio.Queue()

    def run_ended(self, run_id: str) -> None:
        """The run needs its scratch space no more."""
        self._done.put_nowait(run_id)

    async def run(self) -> None:
        """Removes what ended before this process began, then what ends, until cancelled. Storage that does not answer is logged:
        what is left is found at the next start."""
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
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in self._fs.ls(self._root, detail=False)]

    async def _remove(self, run_id: str) -> None:
        try:
            await asyncio.to_thread(self._remove_now, f"{self._root}/{run_id}")
        except OSError as error:
            log.warning("scratch space not removed", run=run_id, reason=str(error))

    def _remove_now(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)
