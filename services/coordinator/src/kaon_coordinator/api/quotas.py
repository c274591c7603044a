"""What a tenant may store: runs, workflows, versions and schedules, up to its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kaon_coordinator.store.protocols.usage_store import UsageStore
from kaon_coordinator.store.records import NewRun
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.access.limits import AllLimits, TenantLimits
from kaon_service.access.rates import Rates
from kaon_wire.errors import Exhausted
from kaon_wire.texts import counted


class Quotas:
    """Refuses what exceeds the limits of its tenant. Runs that schedules and parents start are counted and not refused.

    Args:
        store: Counts what is stored.
        limits: Of all tenants.
    """

    def __init__(self, store: StoreCalls[UsageStore], limits: AllLimits) -> None:
        self._threads = store
        self._store = store.store
        self._limits = limits
        self._rates = Rates(limits)

    async def check_runs(self, runs: Sequence[NewRun]) -> None:
        """Refuse the submission of runs beyond the limits; one whose key was used makes no run.

        Raises:
            Exhausted: The tenant submits too fast, or has too many open runs.
        """
        if not runs:
            return
        tenant = runs[0].tenant
        limits = self._limits.of(tenant)
        if not (limits.open_runs or limits.submissions_per_minute or limits.artifact_bytes):
            return
        new = [run for run in runs if not await self._was_submitted(run)]
        if new:
            await self._check_new(tenant, len(new))

    async def admitted(self, runs: Sequence[NewRun]) -> list[Exhausted | None]:
        """Return of each run of one tenant why it is refused; None: it may be submitted.

        The first ones get in, up to the limits. One whose key was used makes no run, and gets its answer.
        """
        limits = self._limits.of(runs[0].tenant) if runs else TenantLimits()
        if not (limits.open_runs or limits.submissions_per_minute or limits.artifact_bytes):
            return [None] * len(runs)
        repeated = await self._threads.study(self._repeated, runs)
        places = await self._places(runs[0].tenant)
        # A key that stands twice among them makes one run.
        of_keys: dict[tuple[str, str], Exhausted | None] = {}
        answers = []
        for run, is_repeated in zip(runs, repeated, strict=True):
            key = run.workflow, run.idempotency_key
            if is_repeated:
                answer = None
            elif run.idempotency_key and key in of_keys:
                answer = of_keys[key]
            else:
                answer = of_keys[key] = places.take()
            answers.append(answer)
        return answers

    async def check_update(self, tenant: str) -> None:
        """Refuse an update of a dataset where a submission would be refused: schedules start runs for it.

        Raises:
            Exhausted: The tenant submits too fast, or has too many open runs.
        """
        await self._check_new(tenant, 1)

    def check_signal(self, tenant: str) -> None:
        """Refuse a signal to all runs where a tenant submits too fast: it is stored in many of them.

        Raises:
            Exhausted: The tenant submits too fast.
        """
        self._rates.submission(tenant)

    async def _check_new(self, tenant: str, more: int) -> None:
        for _ in range(more):
            self._rates.submission(tenant)
        await self.check_bytes(tenant, 0)
        if limit := self._limits.of(tenant).open_runs:
            count = await self._threads.read(self._store.count_open_runs, tenant, limit + 1)
            if count + more > limit:
                raise _too_many(tenant, count, limit)

    async def _places(self, tenant: str) -> _Places:
        places = _Places(tenant=tenant, rates=self._rates, limit=self._limits.of(tenant).open_runs)
        try:
            await self.check_bytes(tenant, 0)
        except Exhausted as error:
            places.refusal = error
        if places.limit:
            places.open_runs = await self._threads.read(
                self._store.count_open_runs, tenant, places.limit + 1
            )
        return places

    def _repeated(self, runs: Sequence[NewRun]) -> list[bool]:
        """Return of each run whether its key was used. Blocks."""
        return [
            bool(run.idempotency_key)
            and self._store.is_key_used(run.tenant, run.workflow, run.idempotency_key)
            for run in runs
        ]

    async def check_version(self, tenant: str, workflow: str) -> None:
        """Refuse a new version, or a new name, beyond the limits.

        Raises:
            Exhausted: The tenant has too many workflows, or the workflow too many versions.
        """
        limits = self._limits.of(tenant)
        if not (limits.workflows or limits.versions):
            return
        versions = await self._threads.read(self._store.count_versions, tenant, workflow)
        if limits.versions and versions >= limits.versions:
            raise Exhausted(
                f"workflow {workflow} has {counted(versions, 'version')}, and may have {limits.versions} (limit versions)"
            )
        if limits.workflows and not versions:
            count = await self._threads.read(self._store.count_workflows, tenant)
            _check(count, limits.workflows, tenant, "workflows")

    async def check_schedule(self, tenant: str) -> None:
        """Refuse a new schedule beyond the limit.

        Raises:
            Exhausted: The tenant has too many schedules.
        """
        if limit := self._limits.of(tenant).schedules:
            count = await self._threads.read(self._store.count_schedules, tenant)
            _check(count, limit, tenant, "schedules")

    async def check_bytes(self, tenant: str, size: int) -> None:
        """Refuse an artifact of a size that exceeds the limit together with what is there.

        Raises:
            Exhausted: The tenant has too many bytes.
        """
        if limit := self._limits.of(tenant).artifact_bytes:
            count = await self._threads.read(self._store.count_bytes, tenant)
            if count + size > limit or count >= limit:
                raise Exhausted(
                    f"tenant {tenant} has artifacts of {count} bytes, and may have {limit} (limit artifact_bytes): "
                    "what nothing names any more is deleted after some days"
                )

    @asynccontextmanager
    async def upload(self, tenant: str) -> AsyncIterator[None]:
        """Bound the time of an upload.

        Raises:
            Exhausted: It takes longer than the tenant's uploads may.
        """
        await self.check_bytes(tenant, 0)
        limit = self._limits.of(tenant).upload_seconds
        try:
            async with asyncio.timeout(limit or None):
                yield
        except TimeoutError:
            raise Exhausted(
                f"the upload takes longer than {limit} s (limit upload_seconds): send it over a faster line, or in parts"
            ) from None

    async def _was_submitted(self, run: NewRun) -> bool:
        return bool(run.idempotency_key) and await self._threads.read(
            self._store.is_key_used, run.tenant, run.workflow, run.idempotency_key
        )


@dataclass(kw_only=True)
class _Places:
    """The places for new runs of one tenant."""

    tenant: str
    rates: Rates
    # Open runs at most; 0: any number.
    limit: int
    open_runs: int = 0
    # Why no further run gets in. Once one was refused, all after it are.
    refusal: Exhausted | None = None

    def take(self) -> Exhausted | None:
        """Take a place for one more run; return the refusal when there is none."""
        if self.refusal is None and self.limit and self.open_runs >= self.limit:
            self.refusal = _too_many(self.tenant, self.open_runs, self.limit)
        if self.refusal is None:
            try:
                self.rates.submission(self.tenant)
            except Exhausted as error:
                self.refusal = error
            else:
                self.open_runs += 1
        return self.refusal


def _too_many(tenant: str, count: int, limit: int) -> Exhausted:
    return Exhausted(
        f"tenant {tenant} has {counted(count, 'open run')}, and may have {limit} (limit open_runs): "
        "wait until some have ended, or cancel them"
    )


def _check(count: int, limit: int, tenant: str, what: str) -> None:
    if count >= limit:
        raise Exhausted(f"tenant {tenant} has {count} {what}, and may have {limit} (limit {what})")
