"""Dispatches the effects of a durable turn: to runners, matchers, owners of other runs, and as queries."""

from __future__ import annotations

from kaon_coordinator.shell.effects import Effects
from kaon_coordinator.shell.inbound.inbox import Inbox
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.pool_link import PoolLink
from kaon_coordinator.shell.queries import Queries
from kaon_coordinator.shell.shell_settings import ShellSettings
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2


class Dispatch:
    """Puts effects into the outbox, or delivers them within this process.

    Args:
        settings: Names and bounds.
        partitions: The partitions of this process.
        inbox: Woken for commands from one run to another.
        queries: Executes the engine's questions.
        link: The link to the matchers.
    """

    def __init__(
        self,
        *,
        settings: ShellSettings,
        partitions: Partitions,
        inbox: Inbox,
        queries: Queries,
        link: PoolLink,
    ) -> None:
        self._run_partitions = settings.catalogue.run_partitions
        self._tick_seconds = settings.tick_seconds
        self._partitions = partitions
        self._inbox = inbox
        self._queries = queries
        self._link = link
        # Whether other owners must be told of released permits, and when they were last told, in monotonic
        # seconds.
        self._freed, self._freed_told = False, 0.0

    def dispatch(self, partition: Partition, effects: Effects, outbox: Outbox) -> None:
        """Dispatch the effects of one durable turn of a partition."""
        for incarnation, commands in effects.commands.items():
            outbox.command(incarnation, commands)
        for run_id in effects.told:
            self._wake_owner(run_id, outbox)
        if effects.released:
            # Before the queries: a query of the same turn may want permits that were released.
            self._queries.permits.forget(partition.number, effects.released)
            self._queries.permits.freed()
            self._freed = True
        for state, action in effects.queries:
            try:
                self._queries.ask(partition.number, state, action)
            except Exception as error:
                partition.fault(state.run_id, "something was asked for it", error)
        for pool in {*effects.requests, *effects.ended, *effects.held}:
            record = step_pb2.StepRequests(
                pool=pool,
                partition=partition.number,
                epoch=partition.epoch,
                requests=effects.requests.get(pool, ()),
                ended=effects.ended.get(pool, ()),
                held=effects.held.get(pool, ()),
            )
            self._link.tell(record, outbox)

    def _wake_owner(self, run_id: str, outbox: Outbox) -> None:
        """Wake the owner of another run whose inbox was filled.

        If the run's partition differs from that of its id, its owner finds the command by itself.
        """
        number = partition_of(run_id, self._run_partitions)
        if not self._inbox.wake(number):
            filled = command_pb2.InboxFilled(partition=number)
            outbox.wakeup(number, command_pb2.Wakeup(inbox_filled=filled))

    def tell_freed(self, now: float, outbox: Outbox) -> None:
        """Tell the owners of other partitions about released permits, at bounded intervals."""
        if not self._freed or now < self._freed_told + self._tick_seconds:
            return
        self._freed, self._freed_told = False, now
        for number in set(range(self._run_partitions)) - set(self._partitions.owned):
            outbox.wakeup(number, command_pb2.Wakeup(permits_freed=command_pb2.PermitsFreed()))
