"""Runs that are submitted in the process of their owner: they begin in the transaction that stores them.

What cannot be stored with its first turn is handed back, and its submitter stores it in the ordinary way: a run whose
idempotency key is taken, whose partition is lost meanwhile, or whose first turn fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.shell.partition import Stored
from kaon_coordinator.store.base import InboxRow, NewRun, RunRecord
from kaon_coordinator.store.submission_sql import fresh_record, start_of
from kaon_wire.errors import Unavailable
from kaonapi.run.v1 import command_pb2

# Newcomers of one turn.
_AT_ONCE = 200
# What became of a newcomer: its record when it has begun and is durable; None when it must be stored in the ordinary way; the
# error when it is unknown whether it is durable.
Begun: TypeAlias = RunRecord | Unavailable | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Newcomer:
    """A run that no transaction has stored yet."""

    run: NewRun
    answer: asyncio.Future[Begun]

    @property
    def start(self) -> InboxRow:
        """Return its start command, which is in no inbox."""
        return InboxRow(
            inbox_id=0,
            partition=self.run.partition,
            run_id=self.run.run_id,
            command=command_pb2.RunCommand(run_id=self.run.run_id, start=start_of(self.run)),
            create_us=self.run.now_us,
        )

    def settle(self, *, begun: bool) -> None:
        """Answer the submitter, who may have gone."""
        if not self.answer.done():
            self.answer.set_result(fresh_record(self.run) if begun else None)

    def fail(self, error: Unavailable) -> None:
        """Answer the submitter that it is unknown whether the run is durable."""
        if not self.answer.done():
            self.answer.set_result(error)


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """A newcomer with all that its first turn needs."""

    newcomer: Newcomer
    stored: Stored


@dataclass(kw_only=True)
class Newcomers:
    """The newcomers that wait for a turn."""

    # Seconds.
    patience: float
    _waiting: dict[str, Newcomer] = field(default_factory=dict)
    # Those of the newest turn.
    _taken: list[Newcomer] = field(default_factory=list)

    async def begin(self, runs: Sequence[NewRun]) -> list[Begun]:
        """Wait until turns have begun and stored runs; tell of each what became of it."""
        loop = asyncio.get_running_loop()
        newcomers = [Newcomer(run=run, answer=loop.create_future()) for run in runs]
        self._waiting |= {each.run.run_id: each for each in newcomers}
        # A turn that waits for the broker must not delay an acknowledgement.
        withdrawal = loop.call_later(self.patience, self._withdraw, [run.run_id for run in runs])
        try:
            return [await each.answer for each in newcomers]
        finally:
            withdrawal.cancel()
            # When the submitter has gone, those that have not begun do not begin.
            for each in newcomers:
                each.answer.cancel()

    def _withdraw(self, run_ids: Collection[str]) -> None:
        for run_id in run_ids:
            newcomer = self._waiting.pop(run_id, None)
            if newcomer is not None:
                newcomer.settle(begun=False)

    def take(self) -> list[Newcomer]:
        """Return the newcomers of the next turn, without those whose submitters have gone."""
        chosen = list(self._waiting)[:_AT_ONCE]
        taken = [self._waiting.pop(run_id) for run_id in chosen]
        self._taken = [newcomer for newcomer in taken if not newcomer.answer.done()]
        return list(self._taken)

    def refuse(self, error: Unavailable) -> None:
        """Answer everybody who waits: their turn cannot be stored now. Those in it may begin all the same, later."""
        fail_all((*self._taken, *self._waiting.values()), error)
        self._waiting.clear()

    @property
    def waits(self) -> bool:
        """Tell whether any newcomer waits."""
        return bool(self._waiting)

    def drop(self, partition: int) -> None:
        """Hand back the newcomers of a partition that another owner has claimed."""
        self._withdraw(
            [run_id for run_id, each in self._waiting.items() if each.run.partition == partition]
        )


def fail_all(newcomers: Iterable[Newcomer], error: Unavailable) -> None:
    """Answer every submitter who has not been answered that a turn has failed."""
    for newcomer in newcomers:
        newcomer.fail(error)
