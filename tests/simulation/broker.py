"""The message queue: partitions with offsets, consumers that read on from where they committed, a group that moves partitions, and
everything that may go wrong on the way: delay, records written twice, lost acknowledgements, a broker that is away."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import Message

from kaon_coordinator.transport.assignments import by_topic, share
from kaon_coordinator.transport.base import GROUP_TOPICS, Handler, Incoming, Send, TopicPartition
from kaon_wire import topics
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

from .loop import EPOCH_US, Process, Scheduler


@dataclass(kw_only=True)
class Trouble:
    """How hostile the network is. Shares are between 0 and 1."""

    # Batches that are written twice, because their acknowledgement was lost and they were sent again.
    doubled: float = 0.0
    # Sends that are refused in the end, half of them after they were written.
    refused: float = 0.0
    # Fetches and sends that take up to `slow_seconds`.
    slow: float = 0.0
    slow_seconds: float = 1.0
    # Until when the broker is away: nothing is written, read, committed or heard.
    away_until: float = 0.0


class Written(NamedTuple):
    """One record in a partition."""

    value: bytes
    time: float
    # Name of the process that sent it.
    sender: str


class Reader(Protocol):
    """Is told that a partition has grown."""

    def grown(self, key: TopicPartition) -> None: ...


class Broker:
    """All partitions."""

    def __init__(
        self,
        scheduler: Scheduler,
        catalogue: topics.Catalogue,
        trouble: Trouble,
        chance: random.Random,
    ) -> None:
        self.scheduler = scheduler
        self.catalogue = catalogue
        self.trouble = trouble
        self.random = chance
        self.counts = {topic.name: topic.partitions for topic in catalogue.topics()}
        self.logs: dict[TopicPartition, list[Written]] = defaultdict(list)
        self.readers: dict[TopicPartition, set[Reader]] = defaultdict(set)
        # Partitions whose records reach nobody until a time.
        self.blocked: dict[TopicPartition, float] = {}
        # Is told of every record: (topic, partition, record).
        self.watchers: list[Callable[[str, int, Written], None]] = []
        self._arrivals: dict[tuple[str, TopicPartition], float] = {}

    @property
    def away(self) -> bool:
        return self.scheduler.now < self.trouble.away_until

    def delay(self) -> float:
        """How long something is under way."""
        draw = self.random.random()
        if draw < self.trouble.slow:
            return draw / self.trouble.slow * self.trouble.slow_seconds
        return 0.0005 + draw * 0.003

    def append(self, sender: str, sends: Sequence[Send]) -> None:
        """Writes records."""
        for send in sends:
            key = (send.topic, send.partition)
            written = Written(send.value, self.scheduler.now, sender)
            self.logs[key].append(written)
            for watch in self.watchers:
                watch(send.topic, send.partition, written)
            # In an order that does not depend on addresses.
            for reader in sorted(self.readers[key], key=_name):
                reader.grown(key)

    def produce(
        self, process: Process, sends: Sequence[Send], done: Callable[[Exception | None], None]
    ) -> None:
        """Sends a batch; records of one partition keep their order. `done` is told in the process when it is settled."""
        if self.random.random() < self.trouble.refused:
            written = list(sends) if self.random.random() < 0.5 else []
            outcome: Exception | None = Unavailable("the simulated broker has finally refused")
        else:
            written, outcome = list(sends), None
        when = self.scheduler.now + self.delay()
        # Nothing overtakes what the same producer has sent to the same partition before.
        for send in sends:
            key = (process.name, (send.topic, send.partition))
            when = max(when, self._arrivals.get(key, 0.0))
        for send in sends:
            self._arrivals[process.name, (send.topic, send.partition)] = when
        self.scheduler.at(when, self._arrive, process, written, outcome, done)

    def _arrive(
        self,
        process: Process,
        sends: list[Send],
        outcome: Exception | None,
        done: Callable[[Exception | None], None],
    ) -> None:
        if self.away:
            # Kept by the producer while its process lives.
            back = self.trouble.away_until + 0.01
            if process.alive or self.random.random() < 0.3:
                self.scheduler.at(back, self._arrive, process, sends, outcome, done)
            return
        if not process.alive:
            # It died while it was sending: some of it had left.
            sends = self._beginnings(sends)
        self.append(process.name, sends)
        if process.alive and self.random.random() < self.trouble.doubled:
            self.append(process.name, sends)
        self.scheduler.after(self.delay(), process.call_soon, done, outcome)

    def _beginnings(self, sends: list[Send]) -> list[Send]:
        """Of every partition's records the first few."""
        left: dict[TopicPartition, bool] = {}
        kept = []
        for send in sends:
            key = (send.topic, send.partition)
            left[key] = left.get(key, True) and self.random.random() < 0.6
            if left[key]:
                kept.append(send)
        return kept


class _Cursor:
    """Reads partitions: what has been fetched becomes visible some time after it was written."""

    def __init__(self, broker: Broker, name: str, filled: Callable[[], None]) -> None:
        self.name = name
        self.positions: dict[TopicPartition, int] = {}
        self._broker = broker
        self._filled = filled
        self._visible: dict[TopicPartition, int] = {}
        self._fetching: set[TopicPartition] = set()

    def read(self, key: TopicPartition, offset: int) -> None:
        """Begins to read a partition."""
        self.positions[key] = self._visible[key] = offset
        self._broker.readers[key].add(self)
        if len(self._broker.logs[key]) > offset:
            self.grown(key)

    def stop(self, key: TopicPartition) -> None:
        """Reads it no more."""
        self.positions.pop(key, None)
        self._broker.readers[key].discard(self)

    def close(self) -> None:
        for key in list(self.positions):
            self.stop(key)

    def grown(self, key: TopicPartition) -> None:
        if key not in self._fetching:
            self._fetching.add(key)
            self._broker.scheduler.after(self._broker.delay(), self._fetched, key)

    def _fetched(self, key: TopicPartition) -> None:
        broker = self._broker
        held = max(broker.trouble.away_until, broker.blocked.get(key, 0.0))
        if broker.scheduler.now < held:
            broker.scheduler.at(held + broker.delay(), self._fetched, key)
            return
        self._fetching.discard(key)
        if key in self.positions:
            self._visible[key] = len(broker.logs[key])
            self._filled()

    def take(self) -> list[tuple[TopicPartition, int, Written]]:
        """What is visible and was not taken."""
        taken: list[tuple[TopicPartition, int, Written]] = []
        keys = [key for key, position in self.positions.items() if self._visible[key] > position]
        if len(keys) > 1:
            self._broker.random.shuffle(keys)
        for key in keys:
            first, last = self.positions[key], self._visible[key]
            records = self._broker.logs[key][first:last]
            taken += [(key, first + index, record) for index, record in enumerate(records)]
            self.positions[key] = last
        return taken


class Group:
    """The coordinators' consumer group: who is a member, who owns what, and up to where it was committed.

    Args:
        session: seconds after which a silent member is expelled.
    """

    def __init__(self, broker: Broker, session: float) -> None:
        self.broker = broker
        self.session = session
        self.generation = 0
        self.members: list[SimTransport] = []
        self.committed: dict[TopicPartition, int] = {}
        self.owners: dict[TopicPartition, SimTransport] = {}
        self._rebalancing = False

    def join(self, member: SimTransport) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: SimTransport) -> None:
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def fell_silent(self, member: SimTransport) -> None:
        """The member's process has died or was stopped: it is expelled unless it is heard again in time."""
        self.broker.scheduler.after(self.session, self._expel, member, member.silent_since)

    def _expel(self, member: SimTransport, since: float) -> None:
        if member.silent_since != since or member not in self.members:
            return
        if self.broker.away:
            # Nobody counts while the broker is away; it begins anew when it is back.
            self.broker.scheduler.at(
                self.broker.trouble.away_until + self.session, self._expel, member, since
            )
            return
        self.leave(member)

    def rebalance(self) -> None:
        """Deals partitions out anew, soon."""
        if not self._rebalancing:
            self._rebalancing = True
            self.broker.scheduler.after(0.05 + self.broker.random.random() * 0.5, self._deal)

    def _deal(self) -> None:
        if self.broker.away:
            self.broker.scheduler.at(self.broker.trouble.away_until + 0.05, self._deal)
            return
        self._rebalancing = False
        self.generation += 1
        members = list(self.members)
        self.broker.random.shuffle(members)
        shares = [
            share(range(self.broker.counts[topic]), range(len(members))) for topic in GROUP_TOPICS
        ]  # type: ignore[arg-type]
        self.owners = {}
        for index, member in enumerate(members):
            owned = frozenset(
                (topic, number)
                for topic, dealt in zip(GROUP_TOPICS, shares, strict=True)
                for number in dealt[index]  # type: ignore[index]
            )
            self.owners.update(dict.fromkeys(owned, member))
            # Each learns of it in its own time: the old owner may hear later than the new one has begun.
            self.broker.scheduler.after(
                0.01 + self.broker.delay() * 3, member.assign, owned, self.generation
            )

    def commit(
        self, member: SimTransport, generation: int, offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Notes offsets, unless the member's time is over."""
        if self.broker.away:
            self.broker.scheduler.at(
                self.broker.trouble.away_until + 0.05, self.commit, member, generation, offsets
            )
            return
        if generation != self.generation or member not in self.members:
            return
        for key, offset in offsets.items():
            self.committed[key] = max(offset, self.committed.get(key, 0))


class SimTransport:
    """A coordinator's connection; keeps the guarantees of `transport.base.Transport`, and rebalances like Faust's.

    Args:
        process: whose it is.
        group: the coordinators'.
        silence: the broker unheard for so many seconds counts as away.
    """

    def __init__(self, process: Process, group: Group, silence: float) -> None:
        self.name = process.name
        self.silent_since = -1.0
        self._process = process
        self._group = group
        self._broker = group.broker
        self._silence = silence
        self._cursor = _Cursor(self._broker, process.name, self._fetched)
        self._owned: frozenset[TopicPartition] = frozenset()
        self._assignments: list[tuple[frozenset[TopicPartition], int]] = []
        self._generation = self._newest = -1
        self._filled = asyncio.Event()
        self._done: dict[TopicPartition, int] = {}
        self._committing = False
        self._heard = process.scheduler.now
        process.on_death.append(self.fall_silent)

    # --- the interface ------------------------------------------------------------------------------------------

    async def start(self, handler: Handler) -> None:
        self._task = asyncio.ensure_future(self._deliver(handler))
        self._group.join(self)

    async def stop(self) -> None:
        self._group.leave(self)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._cursor.close()

    async def failed(self) -> None:
        await asyncio.shield(self._task)

    async def send(self, sends: Sequence[Send]) -> None:
        if not sends:
            return
        settled = self._process.create_future()

        def done(error: Exception | None) -> None:
            self._heard = self._process.scheduler.now
            if settled.done():
                return
            if error is None:
                settled.set_result(None)
            else:
                settled.set_exception(error)

        self._broker.produce(self._process, sends, done)
        await settled

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return {key: len(self._broker.logs[key]) for key in partitions}

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        await self.send(
            [Send(topic=topics.dead_letters(incoming.topic), partition=0, value=incoming.value)]
        )

    @property
    def connected(self) -> bool:
        """The probe asks every second, so a broker that is there is heard."""
        now = self._process.scheduler.now
        if not self._broker.away:
            self._heard = now
        return now - self._heard < self._silence

    @property
    def last_contact(self) -> float:
        return self._process.monotonic() - (self._process.scheduler.now - self._heard)

    @property
    def trouble(self) -> str:
        return "" if self.connected else "not heard"

    # --- the group ----------------------------------------------------------------------------------------------

    def assign(self, owned: frozenset[TopicPartition], generation: int) -> None:
        """A rebalance has ended."""
        if self._process.alive:
            self._process.call_soon(self._take_assignment, owned, generation)

    def _take_assignment(self, owned: frozenset[TopicPartition], generation: int) -> None:
        if generation <= self._newest:
            return  # a member never goes back to an earlier generation
        self._newest = generation
        self._assignments.append((owned, generation))
        self._filled.set()

    def fall_silent(self) -> None:
        """The process has died or stands still."""
        self.silent_since = self._process.scheduler.now
        if not self._process.alive:
            self._cursor.close()
        self._group.fell_silent(self)

    def speak_again(self) -> None:
        """The process goes on after it stood still."""
        self.silent_since = -1.0
        if self not in self._group.members:
            # Its next heartbeat tells it that it was expelled: it joins anew.
            self._broker.scheduler.after(0.5 + self._broker.random.random() * 2.0, self._rejoin)

    def _rejoin(self) -> None:
        if self._process.alive and self not in self._group.members:
            self._group.join(self)

    # --- delivery -----------------------------------------------------------------------------------------------

    def _fetched(self) -> None:
        self._process.call_soon(self._filled.set)

    async def _deliver(self, handler: Handler) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            records = self._cursor.take()
            if records:
                await self._hand_over(handler, records)
            while self._assignments:
                await self._change(handler, *self._assignments.pop(0))

    async def _hand_over(
        self, handler: Handler, records: list[tuple[TopicPartition, int, Written]]
    ) -> None:
        self._heard = self._process.scheduler.now
        await handler.on_batch(
            [
                Incoming(
                    topic=topic,
                    partition=partition,
                    offset=offset,
                    timestamp_ms=(EPOCH_US + round(written.time * 1e6)) // 1000,
                    value=written.value,
                )
                for (topic, partition), offset, written in records
            ]
        )
        for key, offset, _ in records:
            self._done[key] = offset + 1
        if not self._committing:
            self._committing = True
            self._process.call_later(2.0, self._commit)

    def _commit(self) -> None:
        self._committing = False
        done, self._done = self._done, {}
        kept = {key: offset for key, offset in done.items() if key in self._owned}
        generation = self._generation
        self._broker.scheduler.after(
            self._broker.delay(), self._group.commit, self, generation, kept
        )

    async def _change(
        self, handler: Handler, owned: frozenset[TopicPartition], generation: int
    ) -> None:
        """As Faust's transport: when a rebalance went on without this member, all is lost and gained."""
        kept = self._owned & owned if generation == self._generation + 1 else frozenset()
        self._generation = generation
        lost, self._owned = self._owned - kept, kept
        for key in sorted(lost):
            self._cursor.stop(key)
        if lost and self._done:
            self._done = {key: offset for key, offset in self._done.items() if key in kept}
        for topic, numbers in by_topic(lost):
            await handler.on_revoked(topic, numbers)
        gained = owned - kept
        for topic, numbers in by_topic(gained):
            await handler.on_assigned(topic, numbers)
        self._owned = owned
        for key in sorted(gained):
            self._cursor.read(key, self._group.committed.get(key, 0))


class RunnerTransport:
    """A runner's connection; keeps the guarantees of `kaon_runner.transport.base.Transport`."""

    def __init__(self, process: Process, broker: Broker, pool: str) -> None:
        self.name = process.name
        self._process = process
        self._broker = broker
        self._pool = pool
        self._cursor = _Cursor(broker, process.name, self._fetched)
        self._deliver: Callable[[Sequence[Message]], None] = lambda messages: None
        process.on_death.append(self._cursor.close)

    def start(self, incarnation: str, deliver: Callable[[Sequence[Message]], None]) -> None:
        self._deliver = deliver
        partition = partition_of(incarnation, self._broker.catalogue.runner_partitions)
        for topic in (topics.step_ready(self._pool), topics.RUNNER_COMMANDS):
            key = (topic, partition)
            self._cursor.read(key, len(self._broker.logs[key]))

    def send(
        self, topic: str, partition: int, message: Message, done: Callable[[Exception | None], None]
    ) -> None:
        send = Send(topic=topic, partition=partition, value=message.SerializeToString())
        self._broker.produce(self._process, [send], done)

    def partitions(self, topic: str) -> int:
        return self._broker.counts[topic]

    def close(self, timeout: float = 5.0) -> None:
        self._cursor.close()

    def _fetched(self) -> None:
        self._process.call_soon(self._take)

    def _take(self) -> None:
        messages = [_decode(key[0], written.value) for key, _, written in self._cursor.take()]
        if messages:
            self._deliver(messages)


def _decode(topic: str, value: bytes) -> Message:
    kind: Any = (
        runner_pb2.RunnerCommands if topic == topics.RUNNER_COMMANDS else step_pb2.StepReleases
    )
    return kind.FromString(value)  # type: ignore[no-any-return]


def _name(reader: Any) -> str:
    return str(reader.name)
