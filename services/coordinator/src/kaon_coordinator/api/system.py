"""SystemService: the health of this coordinator and its dependencies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from kaon_coordinator.api import aside
from kaon_coordinator.api.runners import Matchers
from kaon_coordinator.api.shown import shown_tenant
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.database_store import DatabaseStore
from kaon_coordinator.store.protocols.notice_store import NoticeStore
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.records import SetAside
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import KaonError, NotFound
from kaon_wire.texts import counted
from kaon_wire.version import VERSION
from kaonapi.system.v1 import system_pb2, system_pb2_grpc

log = structlog.get_logger(__name__)

GOOD, WARNING, BAD = system_pb2.VERDICT_GOOD, system_pb2.VERDICT_WARNING, system_pb2.VERDICT_BAD
SLOW_SECONDS = 0.25
# A command that was not applied by now has no owner: owners poll every second.
STUCK_SECONDS = 10.0
# Number of reported runs and schedules that are set aside.
SHOWN_ASIDE = 20


class DiagnosedStore(DatabaseStore, AsideStore, NoticeStore, PartitionStore, RunStore, Protocol):
    """What a diagnosis looks at."""


class Broker(Protocol):
    """The health of the transport."""

    @property
    def last_contact(self) -> float:
        """Return when the broker was last heard, in seconds of `time.monotonic`."""

    @property
    def trouble(self) -> str:
        """Return what it does not do, and for how long; empty while it does everything."""


@dataclass(frozen=True, kw_only=True)
class SystemParts:
    """The dependencies of the service."""

    store: StoreCalls[DiagnosedStore]
    broker: Broker
    matchers: Matchers
    # All pools of the deployment, and the number of its partitions of runs.
    pools: tuple[str, ...]
    partitions: int
    # Name of this coordinator.
    owner: str
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]


class SystemServicer(system_pb2_grpc.SystemServiceServicer):
    """Serves the read-only methods of SystemService."""

    def __init__(self, parts: SystemParts) -> None:
        self._parts = parts

    async def Diagnose(  # noqa: N802
        self, request: system_pb2.DiagnoseRequest, context: Any
    ) -> system_pb2.DiagnoseResponse:
        """Check the database, the broker, the inboxes, the pools, and the runs and schedules that are set aside."""
        checks = [await self._database(), self._broker()]
        if checks[0].verdict != BAD:
            checks.append(await self._inboxes())
            checks += await self._set_aside()
            checks += await self._notifications()
        checks += [self._pool(pool) for pool in self._parts.pools]
        return system_pb2.DiagnoseResponse(
            owner=self._parts.owner,
            version=VERSION,
            time_us=self._parts.now_us(),
            checks=[check for check in checks if check.text],
        )

    async def _database(self) -> system_pb2.Check:
        began = time.perf_counter()
        try:
            await asyncio.wait_for(self._parts.store.run(self._parts.store.store.check), 5.0)
        except (KaonError, TimeoutError) as error:
            log.warning("database check failed", error=str(error) or "it did not answer within 5 s")
            advice = "see the coordinator's and the database's log; nothing is lost meanwhile"
            return _check("database", BAD, "does not answer", advice)
        seconds = time.perf_counter() - began
        if seconds > SLOW_SECONDS:
            advice = "look at its disk and its load: every hop waits for a commit"
            return _check("database", WARNING, f"answers after {seconds * 1000:.0f} ms", advice)
        return _check("database", GOOD, f"answers after {seconds * 1000:.1f} ms")

    def _broker(self) -> system_pb2.Check:
        if not (trouble := self._parts.broker.trouble):
            # The broker in memory was heard at the moment when it was asked, which is after the clock was read.
            ago = max(time.monotonic() - self._parts.broker.last_contact, 0.0)
            return _check("broker", GOOD, f"heard {ago:.1f} s ago")
        advice = "check KAON_KAFKA, and the brokers' logs and free disk space; runs go on when they are back"
        return _check("broker", BAD, trouble, advice)

    async def _inboxes(self) -> system_pb2.Check:
        waiting = await self._parts.store.read(
            _oldest, self._parts.store.store, self._parts.partitions
        )
        if waiting is None:
            return _check("commands", GOOD, "none waits")
        partition, create_us = waiting
        seconds = (self._parts.now_us() - create_us) / 1e6
        text = f"one has waited for {seconds:.0f} s in partition {partition}"
        if seconds < STUCK_SECONDS:
            return _check("commands", GOOD, text)
        advice = "no coordinator seems to own the partition: does one read from the broker, with the same KAON_RUN_PARTITIONS?"
        return _check("commands", BAD, text, advice)

    async def _set_aside(self) -> list[system_pb2.Check]:
        """Report the runs and schedules that are set aside because of faults."""
        store, tenant = self._parts.store, shown_tenant()
        found, hidden = await store.read(_aside, store.store, tenant)
        checks = [
            _check(
                f"{each.kind} {each.name}",
                BAD if each.kind == "run" else WARNING,
                f"set aside: {each.reason}",
                aside.advice(each),
            )
            for each in found[:SHOWN_ASIDE]
        ]
        if len(found) > SHOWN_ASIDE:
            checks.append(
                _check("set aside", BAD, f"more than these {SHOWN_ASIDE}", "begin with the newest")
            )
        if hidden:
            checks.append(
                _check(
                    "set aside",
                    WARNING,
                    f"{counted(hidden, 'run or schedule', 'runs or schedules')} of other tenants",
                )
            )
        return checks

    async def _notifications(self) -> list[system_pb2.Check]:
        """Report the channels that do not take their notifications; their errors to those who may know of all tenants."""
        store, tenant = self._parts.store, shown_tenant()
        return [
            _check(
                f"notifications to {each.channel}",
                WARNING,
                f"{each.waiting} not delivered yet, {each.given_up} given up"
                + ("" if tenant else f": {each.error}"),
                "check the channel in the file KAON_NOTIFICATIONS, and its server; they are tried again for a day",
            )
            for each in await store.read(store.store.undelivered, SHOWN_ASIDE)
            if tenant in ("", each.tenant)
        ]

    def _pool(self, pool: str) -> system_pb2.Check:
        """Report a pool; return nothing for a pool of another coordinator, which reports it."""
        view, name = self._parts.matchers.view(pool, shown_tenant()), f"pool {pool}"
        if view is None:
            return _check(name, GOOD, "")
        text = f"{counted(view.runners, 'runner')}, {counted(view.released, 'step')} at them, {view.waiting} waiting"
        if view.building:
            text += f"; environments that are being built: {view.building} (kaon runners)"
        if view.settling and not view.runners:
            return _check(name, GOOD, f"{text}; its owner has just begun to listen for runners")
        impossible = sum(demand.impossible for demand in view.demands)
        if view.waiting and not view.runners:
            return _check(name, BAD, text, f"start runners with KAON_POOL={pool}")
        if impossible:
            advice = (
                "see kaon why RUN STEP: no runner has the labels or resources that they ask for"
            )
            return _check(name, WARNING, f"{text}, {impossible} that no runner can take", advice)
        if not view.runners:
            return _check(name, WARNING, text, f"start runners with KAON_POOL={pool}")
        return _check(name, GOOD, text)


def _check(
    name: str, verdict: system_pb2.Verdict.ValueType, text: str, advice: str = ""
) -> system_pb2.Check:
    return system_pb2.Check(name=name, verdict=verdict, text=text, advice=advice)


def _aside(store: DiagnosedStore, tenant: str) -> tuple[list[SetAside], int]:
    """Return what is set aside of a tenant, or of all for the empty name, and the number of all others."""
    if not tenant:
        return store.list_set_aside(SHOWN_ASIDE + 1), 0
    found = store.list_set_aside(0)
    own = [each for each in found if _is_of(store, tenant, each)]
    return own, len(found) - len(own)


def _is_of(store: DiagnosedStore, tenant: str, aside: SetAside) -> bool:
    if aside.kind != "run":
        return aside.tenant == tenant
    try:
        store.get_run(tenant, aside.name)
    except NotFound:
        return False
    return True


def _oldest(store: PartitionStore, partitions: int) -> tuple[int, int] | None:
    """Return the partition of the oldest waiting command, and its time; None when none waits."""
    rows = {number: store.unapplied(number, 1) for number in range(partitions)}
    first = [(found[0].create_us, number) for number, found in rows.items() if found]
    if not first:
        return None
    create_us, number = min(first)
    return number, create_us
