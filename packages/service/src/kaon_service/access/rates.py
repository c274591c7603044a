"""Bounds how fast each tenant calls, and how many streams it holds, in this process.

The bucket is the generic cell rate algorithm (ITU-T I.371): one number a tenant, and no timer. Libraries of this kind keep a
window of time stamps or a thread that expires counters, on the path of every call.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kaon_service.access.limits import AllLimits
from kaon_wire.errors import Exhausted
from kaon_wire.texts import counted

# Tenants whose pace is remembered; of more, those that were quiet longest begin anew.
_REMEMBERED = 10_000


class Pace:
    """Buckets of one kind, by tenant.

    Args:
        clock: Returns seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When each tenant's bucket is empty again.
        self._empty_at: OrderedDict[str, float] = OrderedDict()

    def take(self, tenant: str, per_second: float, burst: float) -> float:
        """Take one from a tenant's bucket.

        Args:
            tenant: Its name.
            per_second: How fast the bucket empties.
            burst: How many it holds.

        Returns:
            0.0, or, when the bucket is full, the seconds until it has room; then nothing is taken.
        """
        now, each = self._clock(), 1.0 / per_second
        full_at = max(self._empty_at.pop(tenant, now), now) + each
        wait = full_at - now - burst * each
        self._empty_at[tenant] = full_at if wait <= 1e-9 else full_at - each
        if len(self._empty_at) > _REMEMBERED:
            self._empty_at.popitem(last=False)
        return max(wait, 0.0) if wait > 1e-9 else 0.0


class Rates:
    """Refuses calls and streams beyond the limits of their tenants.

    Args:
        limits: Of all tenants.
        clock: Returns seconds, monotonic.
    """

    def __init__(self, limits: AllLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._calls = Pace(clock)
        self._submissions = Pace(clock)
        self._streams: Counter[str] = Counter()

    def call(self, tenant: str) -> None:
        """Count a call.

        Raises:
            Exhausted: The tenant calls too fast.
        """
        limit = self._limits.of(tenant).calls_per_second
        if limit and (wait := self._calls.take(tenant, limit, 2 * limit)):
            raise Exhausted(
                f"tenant {tenant} makes more than {counted(limit, 'call')} a second (limit calls_per_second): "
                f"try again in {wait:.1f} s",
                wait,
            )

    def submission(self, tenant: str) -> None:
        """Count a submitted run.

        Raises:
            Exhausted: The tenant submits too fast.
        """
        limit = self._limits.of(tenant).submissions_per_minute
        if limit and (wait := self._submissions.take(tenant, limit / 60, limit)):
            raise Exhausted(
                f"tenant {tenant} submits more than {counted(limit, 'run')} a minute (limit submissions_per_minute): "
                f"try again in {wait:.1f} s",
                wait,
            )

    @contextmanager
    def stream(self, tenant: str) -> Iterator[None]:
        """Count a stream while it is open.

        Raises:
            Exhausted: The tenant has too many open streams.
        """
        limit = self._limits.of(tenant).streams
        if limit and self._streams[tenant] >= limit:
            raise Exhausted(
                f"tenant {tenant} has {counted(limit, 'open stream')} (limit streams): close one, or try again later"
            )
        self._streams[tenant] += 1
        try:
            yield
        finally:
            self._streams[tenant] -= 1
            if not self._streams[tenant]:
                del self._streams[tenant]


UNLIMITED = Rates(AllLimits())
