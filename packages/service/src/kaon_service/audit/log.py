"""The audit log of one service: records calls in batches, signs heads and forgets what is old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import structlog

from kaon_service.audit.signing import Sign, unsigned
from kaon_service.audit.store import AuditStore
from kaon_service.background import in_rounds
from kaon_wire.audit.rows import AuditCall, merged

log = structlog.get_logger(__name__)

# Calls of one transaction.
_BATCH = 500
_DAY_US = 86_400_000_000
_Waiting: TypeAlias = tuple[AuditCall, asyncio.Future[None]]


@dataclass(frozen=True, kw_only=True)
class AuditRules:
    """How an audit log is kept."""

    # KAON_AUDIT_KEY: file with the Ed25519 private key that signs heads.
    sign: Sign = unsigned
    # KAON_AUDIT_RETENTION_DAYS: days for which rows are kept; 0: for ever.
    days: float = 0
    # Seconds between signed heads.
    head_seconds: float = 3600.0


class AuditLog:
    """Records calls; whoever records one waits until its row is durable.

    Calls that come while a transaction runs share the next one.

    Args:
        store: Where the rows are kept; closed by `close`.
        rules: How they are kept.
        now_us: Returns microseconds since the epoch.
    """

    def __init__(self, store: AuditStore, rules: AuditRules, now_us: Callable[[], int]) -> None:
        self.store = store
        self._rules = rules
        self._now_us = now_us
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        # One thread: whoever appends locks the chain's end anyway.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")

    async def record(self, *calls: AuditCall) -> None:
        """Record calls.

        Raises:
            Unavailable: The database does not answer.
        """
        loop = asyncio.get_running_loop()
        waiting: list[_Waiting] = [(call, loop.create_future()) for call in calls]
        self._waiting += waiting
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="audit")
        await asyncio.gather(*(done for _, done in waiting))

    async def run(self) -> NoReturn:
        """Sign the newest head, and forget what is old, for ever."""
        pause = self._rules.head_seconds
        await in_rounds("audit", self.keep, lambda: asyncio.sleep(pause))

    async def keep(self) -> None:
        """Sign the newest head, and forget what is old.

        Raises:
            Unavailable: The database does not answer.
        """
        await self._call(self._keep)

    async def close(self) -> None:
        """Write what waits, and close the store."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()
        self.store.close()

    def _keep(self) -> None:
        now_us = self._now_us()
        signed = self.store.sign_head(self._rules.sign, now_us)
        if signed is not None:
            # A copy that is not in the database that it speaks of.
            log.info("audit head", seq=signed.head.seq, digest=signed.head.digest)
        if self._rules.days:
            gone = self.store.forget(now_us - int(self._rules.days * _DAY_US))
            if gone:
                log.info("audit rows removed", rows=gone)

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:_BATCH]
                del self._waiting[:_BATCH]
                await self._append(batch)
        finally:
            self._writing = None

    async def _append(self, batch: Sequence[_Waiting]) -> None:
        try:
            await self._call(lambda: self.store.append(merged(call for call, _ in batch)))
        except Exception as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def _call(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)
