"""Dispatches what a durable turn lets out: to runners, to matchers, to the owners of other runs, and as queries."""

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
    """Puts effects into the outbox, or hands them over within this process.

    Args:
        settings: names and bounds.
        partitions: what this process owns.
        inbox: is woken for what one run tells another.
        queries: what the engine asks is asked there.
        link: the way to the matchers.
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
        # Whether others must be told that permits were given back, and when they were told last, in monotonic seconds.
        self._freed, self._freed_told = False, 0.0

    def dispatch(self, partition: Partition, effects: Effects, outbox: Outbox) -> None:
        """Lets out what one durable turn of a partition has come to."""
        for incarnation, commands in effects.commands.items():
            outbox.command(incarnation, commands)
        for run_id in effects.told:
            self._wake_owner(run_id, outbox)
        if effects.released:
            # Before the queries: what was given back may be wanted anew in the same turn.
            self._queries.permits.forget(partition.number, effects.released)
            self._queries.permits.freed()
            self._freed = True
        for state, action in effects.queries:
            try:
                self._queries.ask(partition.number, state, action)
            except Exception as error:
                partition.fault(state.run_id, "something was asked for it", error)
        for pool in {*effects.requests, *effects.ended}:
            record = step_pb2.StepRequests(
                pool=pool,
                partition=partition.number,
                epoch=partition.epoch,
                requests=effects.requests.get(pool, ()),
                ended=effects.ended.get(pool, ()),
            )
            self._link.tell(record, outbox)

    def _wake_owner(self, run_id: str, outbox: Outbox) -> None:
        """Another run's inbox has been filled. A run that lies elsewhere than its id says is found by its owner itself."""
        number = partition_of(run_id, self._run_partitions)
        if not self._inbox.wake(number):
            filled = command_pb2.InboxFilled(partition=number)
            outbox.wakeup(number, command_pb2.Wakeup(inbox_filled=filled))

    def tell_freed(self, now: float, outbox: Outbox) -> None:
        """Tells the owners of other partitions, now and then, that permits were given back."""
        if not self._freed or now < self._freed_told + self._tick_seconds:
            return
        self._freed, self._freed_told = False, now
        for number in set(range(self._run_partitions)) - set(self._partitions.owned):
            outbox.wakeup(number, command_pb2.Wakeup(permits_freed=command_pb2.PermitsFreed()))
