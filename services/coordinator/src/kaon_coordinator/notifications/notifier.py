"""Delivers notices, and tries again what was not accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from kaon_coordinator.faults import going_on
from kaon_coordinator.notifications.channel import Message
from kaon_coordinator.notifications.channels import Channels
from kaon_coordinator.store.protocols.notice_store import NoticeStore
from kaon_coordinator.store.records import DueNotice
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_wire import canonical

log = structlog.get_logger(__name__)

# Notices that are delivered beside one another.
_AT_ONCE = 8
# For how long a notice is taken: longer than every delivery.
_TAKEN_US = 60_000_000
# Waits between deliveries: 10 s, doubled up to an hour. After the last, about 24 hours later, it is given up.
_FIRST_WAIT_US = 10_000_000
_LONGEST_WAIT_US = 3_600_000_000
_DELIVERIES = 32
# How often it is looked for notices that another coordinator left.
_ROUND_SECONDS = 30.0
_CHARACTERS = 500


class Notifier:
    """The notifier of one coordinator. Every coordinator delivers whatever is due.

    Args:
        store: The outbox.
        channels: The channels of the deployment.
        now_us: Returns microseconds since the epoch.
        metrics: Counts deliveries.
    """

    def __init__(
        self,
        store: StoreCalls[NoticeStore],
        channels: Channels,
        now_us: Callable[[], int],
        metrics: CoordinatorMetrics,
    ) -> None:
        self._store = store
        self._channels = channels
        self._now_us = now_us
        self._metrics = metrics
        self._filled = asyncio.Event()

    def wake(self) -> None:
        """Look for notices now: a commit has added one."""
        self._filled.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._filled.clear()
            with going_on("notifications were delivered"):
                while await self.once():
                    pass
            wait = _ROUND_SECONDS
            with going_on("the next notification was looked up"):
                wait = await self._seconds()
            try:
                await asyncio.wait_for(self._filled.wait(), wait)
            except TimeoutError:
                continue

    async def once(self) -> int:
        """Deliver what is due, at most eight notices; return their number."""
        now_us = self._now_us()
        store = self._store
        taken = await store.run(store.store.take_notices, now_us, now_us + _TAKEN_US, _AT_ONCE)
        await asyncio.gather(*(self._deliver(notice) for notice in taken))
        return len(taken)

    async def _seconds(self) -> float:
        next_us = await self._store.run(self._store.store.next_notice_us)
        if next_us is None:
            return _ROUND_SECONDS
        return min(max(next_us - self._now_us(), 0) / 1_000_000, _ROUND_SECONDS)

    async def _deliver(self, notice: DueNotice) -> None:
        error = await self._try(notice)
        self._metrics.notifications.labels(notice.channel, "failed" if error else "sent").inc()
        if not error:
            await self._store.run(self._store.store.notice_delivered, notice)
            return
        due_us = self._due_us(notice.attempts)
        log.warning(
            "notification not delivered",
            channel=notice.channel,
            run=notice.run_id,
            reason=error,
            given_up=due_us is None,
        )
        await self._store.run(self._store.store.notice_failed, notice, error, due_us)

    async def _try(self, notice: DueNotice) -> str:
        """Return why a channel has not accepted a notice; empty when it has."""
        channel = self._channels.by_name.get(notice.channel)
        if channel is None and not self._channels.strict:
            return ""
        if channel is None:
            return "the deployment has no such channel any more"
        message = Message(
            id=f"{notice.run_id}-{notice.seq}-{notice.channel}",
            time_us=notice.time_us,
            payload=canonical.loads(notice.payload),
            link=self._channels.link(notice.run_id),
        )
        try:
            await asyncio.to_thread(channel.deliver, message)
        except Exception as error:
            text = str(error) or type(error).__name__
            return text.encode("utf-8", "replace").decode().replace("\0", "?")[:_CHARACTERS]
        return ""

    def _due_us(self, failed: int) -> int | None:
        if failed + 1 >= _DELIVERIES:
            return None
        return self._now_us() + min(_FIRST_WAIT_US << failed, _LONGEST_WAIT_US)
