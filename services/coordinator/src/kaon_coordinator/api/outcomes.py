"""Waits until a run's owner has applied a command, and returns the outcome to the caller."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kaon_coordinator.api.feed import RunFeed, Subscription
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaonapi.run.v1 import command_pb2, history_pb2

_PAGE = 500
# Seconds between reads of the store: an owner in another process sends no notification.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Returns the outcomes of stored commands."""

    store: StoreCalls[RunStore]
    feed: RunFeed
    # Longest wait of a caller for the owner, in seconds.
    answer_seconds: float = 5.0

    async def outcome(
        self, run: RunRecord, command: command_pb2.RunCommand, live: Subscription
    ) -> tuple[RunRecord, int]:
        """Wait until a command is applied, for `answer_seconds` at most.

        Args:
            run: The run when the command was stored.
            command: The stored command.
            live: The run's updates since before that.

        Returns:
            The run now, and how many of its commands still wait.

        Raises:
            FailedPrecondition: The engine refused the command.
        """
        waiting = await self._until_applied(run, command, live)
        if all(each.command_id != command.command_id for each in waiting):
            await self._raise_refusal(run, command)
        now = await self.store.read(self.store.store.get_run, run.tenant, run.run_id)
        return now, len(waiting)

    async def _until_applied(
        self, run: RunRecord, command: command_pb2.RunCommand, live: Subscription
    ) -> list[command_pb2.RunCommand]:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.answer_seconds, _FIRST_PAUSE
        while True:
            waiting = await self.store.read(
                self.store.store.waiting_commands, run.partition, run.run_id
            )
            left = deadline - loop.time()
            if left <= 0 or all(each.command_id != command.command_id for each in waiting):
                return waiting
            await live.next(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _raise_refusal(self, run: RunRecord, command: command_pb2.RunCommand) -> None:
        seq = run.row.seq
        while events := await self.store.read(self.store.store.history, run.run_id, seq, _PAGE):
            for event in events:
                if event.command_refused.command_id == command.command_id:
                    raise FailedPrecondition(_refusal(event.command_refused))
            seq = events[-1].seq


def _refusal(refused: history_pb2.CommandRefused) -> str:
    at = f" of {refused.path}" if refused.path else ""
    return f"the {refused.command.replace('_', ' ')}{at} was refused: {refused.problem}"
