"""Batches submissions: those that arrive together share a transaction, so under load each costs little more than its row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from kaon_coordinator.store.base import NewRun, RunRecord
from kaon_coordinator.store.protocols.submission_store import SubmissionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import KaonError

_AT_ONCE = 200
# A run that is stored, and False when its key was used for it before; or why there is none, a `Conflict` when its key was used for
# another payload.
Submitted: TypeAlias = tuple[RunRecord, bool] | Exception
_Waiting: TypeAlias = tuple[NewRun, asyncio.Future[Submitted]]


class Submitter:
    """Stores new runs; during one transaction the next ones gather."""

    def __init__(self, store: StoreCalls[SubmissionStore]) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None

    async def submit(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Store a run durably, like `Store.submit_run`.

        Raises:
            Conflict: The idempotency key was used for another payload.
        """
        (answer,) = await self.submit_all([run])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, runs: Sequence[NewRun]) -> list[Submitted]:
        """Store runs durably, and answer each in its place."""
        loop = asyncio.get_running_loop()
        waiting: list[_Waiting] = [(run, loop.create_future()) for run in runs]
        self._waiting += waiting
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return [await answer for _, answer in waiting]

    async def _work(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
                await self._store_together(together)
        finally:
            self._working = None

    async def _store_together(self, together: list[_Waiting]) -> None:
        try:
            results = await self._store.run(
                self._store.store.submit_runs, [run for run, _ in together]
            )
        except Exception as error:
            if len(together) > 1 and not isinstance(error, KaonError):
                # One of them cannot be stored: store the others one by one.
                middle = len(together) // 2
                await self._store_together(together[:middle])
                await self._store_together(together[middle:])
                return
            for _, answer in together:
                if not answer.done():
                    answer.set_result(error)
            return
        for (_, answer), result in zip(together, results, strict=True):
            # The caller may have gone.
            if not answer.done():
                answer.set_result(result)
