"""The runner's outbox: events in batches, logs, renewals, heartbeats. Results are resent until acknowledged.

It lives on the runner's loop; only the transport's acknowledgements come from other threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog

from kaon_runner.leases.table import fields_of
from kaon_runner.outbox.batching import Batch, Departures
from kaon_runner.transport.base import Outgoing, Transport
from kaon_wire.partitioning import partition_of
from kaon_wire.topics import RUNNER_HEARTBEATS, STEP_EVENTS, STEP_LOGS
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)

# Records of events in flight to one partition; further events wait and travel together.
_IN_FLIGHT = 64
# Bytes of logs in flight; beyond, lines are dropped (and counted) so that a stopped broker does not fill the
# memory.
_LOG_BYTES_IN_FLIGHT = 8 * 1024 * 1024
_RESEND_SECONDS = 0.5
# Entries that are not urgent wait so long for urgent ones.
_PATIENCE_SECONDS = 0.002


# An event, and who hears that it was acknowledged.
_Entry: TypeAlias = tuple[step_pb2.StepEvent, Callable[[], None] | None]


@dataclass(kw_only=True)
class _Lane:
    """The records for one engine partition."""

    batch: Batch[_Entry] = field(default_factory=Batch)
    sequence: int = 0
    # Sent and not acknowledged, by sequence.
    unacknowledged: dict[int, step_pb2.StepEvents] = field(default_factory=dict)
    # Who waits for the acknowledgement of a record, by sequence.
    listeners: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    # Not delivered; sent again, in order, when no other record of this lane is in flight.
    failed: dict[int, step_pb2.StepEvents] = field(default_factory=dict)
    renewing: bool = False


@dataclass(frozen=True)
class _Sealed:
    """A record that is serialized already."""

    record: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 (as messages have it)
        return self.record


def unsigned(heartbeat: runner_pb2.RunnerHeartbeat) -> bytes:
    """Serialize a heartbeat as it is."""
    return heartbeat.SerializeToString()


class Outbox:
    """The messages of one incarnation.

    Args:
        transport: The transport, started by the runner.
        runner_id: The runner.
        incarnation: Its incarnation.
        company: Returns how many other steps of the runner will be reported on soon.
        seal: Serializes heartbeats, signed where the pool has a key.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        runner_id: str,
        incarnation: str,
        company: Callable[[], int],
        seal: Callable[[runner_pb2.RunnerHeartbeat], bytes],
    ) -> None:
        self._seal = seal
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._transport = transport
        self._runner_id = runner_id
        self._incarnation = incarnation
        self._company = company
        self._lanes: dict[int, _Lane] = {}
        self._departures = Departures()
        # The next departure of all lanes.
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_due = 0.0
        self._log_bytes = 0
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def event(
        self,
        partition: int,
        event: step_pb2.StepEvent,
        *,
        urgent: bool,
        acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Send an event to the owner of an engine partition.

        Args:
            partition: The engine partition.
            event: The event.
            urgent: Send at once when the runner has no other short steps, else within 6 ms; other events wait a little longer.
            acknowledged: Called once the broker has acknowledged the event, which travels in one record with the one before it.
        """
        lane = self._lane(partition)
        joined = acknowledged is not None
        lane.batch.add((event, acknowledged), event.ByteSize(), joined=joined)
        self._schedule(urgent=urgent, full=lane.batch.is_full)

    def renew(
        self, partition: int, renewal: step_pb2.LeaseRenewal, renewed: Callable[[], None]
    ) -> None:
        """Send a renewal, unless the one before is still in flight.

        `renewed` is called when it is acknowledged.
        """
        lane = self._lane(partition)
        if lane.renewing:
            return
        lane.renewing = True

        def done(error: Exception | None) -> None:
            lane.renewing = False
            if error is None:
                renewed()
            else:
                log.warning("lease renewal not delivered", partition=partition, reason=str(error))

        record = self._record(partition)
        record.renewal.CopyFrom(renewal)
        self._send(STEP_EVENTS, partition, record, done)

    def logs(self, partition: int, lines: log_pb2.LogLines) -> bool:
        """Send log lines; return False without sending when too much is in flight."""
        size = lines.ByteSize()
        if self._log_bytes + size > _LOG_BYTES_IN_FLIGHT:
            return False
        self._log_bytes += size

        def done(error: Exception | None) -> None:
            self._log_bytes -= size
            if error is not None:
                log.warning(
                    "log lines not delivered",
                    lines=len(lines.lines),
                    reason=str(error),
                    **fields_of(lines.key),
                )

        lines.incarnation = self._incarnation
        self._send(STEP_LOGS, partition, lines, done)
        return True

    def heartbeat(
        self, heartbeat: runner_pb2.RunnerHeartbeat, done: Callable[[Exception | None], None]
    ) -> None:
        """Send a heartbeat to the matcher of the pool."""
        partition = partition_of(heartbeat.pool, self._transport.partitions(RUNNER_HEARTBEATS))
        self._send(RUNNER_HEARTBEATS, partition, _Sealed(self._seal(heartbeat)), done)

    async def drained(self) -> None:
        """Return when all messages are acknowledged."""
        self._flush_all()
        await self._idle.wait()

    def _lane(self, partition: int) -> _Lane:
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
        return lane

    def _record(self, partition: int) -> step_pb2.StepEvents:
        return step_pb2.StepEvents(
            runner_id=self._runner_id, incarnation=self._incarnation, partition=partition
        )

    def _schedule(self, *, urgent: bool, full: bool) -> None:
        now = self._loop.time()
        soonest = now if urgent else now + _PATIENCE_SECONDS
        if self._timer is not None and self._timer_due <= soonest:
            return
        due = now if full else self._departures.due(now, self._company())
        at = max(due, soonest)
        if self._timer is not None:
            if self._timer_due <= at:
                return
            self._timer.cancel()
        self._timer_due = at
        if at <= now:
            # After the other callbacks of this iteration of the loop: steps that end together are reported
            # together.
            self._timer = self._loop.call_soon(self._flush_all)
        else:
            self._timer = self._loop.call_at(at, self._flush_all)

    def _flush_all(self) -> None:
        """Flush all lanes at once: the records for one broker travel in one request."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._departures.depart()
        for partition, lane in self._lanes.items():
            self._flush(partition, lane)

    def _flush(self, partition: int, lane: _Lane) -> None:
        # The rest is sent after an acknowledgement.
        while lane.batch and not lane.failed and len(lane.unacknowledged) < _IN_FLIGHT:
            record = self._record(partition)
            entries = lane.batch.depart()
            record.events.extend([event for event, _ in entries])
            lane.sequence += 1
            listeners = [heard for _, heard in entries if heard is not None]
            if listeners:
                lane.listeners[lane.sequence] = listeners
            self._send_events(partition, lane, lane.sequence, record)

    def _send_events(
        self, partition: int, lane: _Lane, sequence: int, record: step_pb2.StepEvents
    ) -> None:
        lane.unacknowledged[sequence] = record
        self._send(
            STEP_EVENTS,
            partition,
            record,
            lambda error: self._settled(partition, lane, sequence, error),
        )

    def _settled(self, partition: int, lane: _Lane, sequence: int, error: Exception | None) -> None:
        record = lane.unacknowledged.pop(sequence)
        if error is not None:
            log.warning(
                "step events not delivered; resending",
                events=len(record.events),
                partition=partition,
                reason=str(error),
            )
            lane.failed[sequence] = record
            self._busy(1)
        else:
            for heard in lane.listeners.pop(sequence, ()):
                heard()
        if lane.failed and not lane.unacknowledged:
            self._loop.call_later(_RESEND_SECONDS, self._resend, partition, lane)
        elif lane.batch and not lane.failed:
            self._schedule(urgent=True, full=True)

    def _resend(self, partition: int, lane: _Lane) -> None:
        failed, lane.failed = lane.failed, {}
        for sequence in sorted(failed):
            self._send_events(partition, lane, sequence, failed[sequence])
        self._busy(-len(failed))

    def _send(
        self,
        topic: str,
        partition: int,
        message: Outgoing,
        done: Callable[[Exception | None], None],
    ) -> None:
        self._busy(1)

        def finish(error: Exception | None) -> None:
            done(error)
            self._busy(-1)

        def acknowledged(error: Exception | None) -> None:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(finish, error)
            elif not self._loop.is_closed():
                self._loop.call_soon_threadsafe(finish, error)

        self._transport.send(topic, partition, message, acknowledged)

    def _busy(self, change: int) -> None:
        self._in_flight += change
        if self._in_flight:
            self._idle.clear()
        else:
            self._idle.set()
