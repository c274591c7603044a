"""Submission of runs and commands: makes them durable, then wakes their owner."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants, named, unknown
from kaon_coordinator.api import run_labels, views
from kaon_coordinator.api.artifact_renewal import ArtifactRenewal
from kaon_coordinator.api.outcomes import Outcomes
from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.submitter import Submitted, Submitter
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.run_info import may_use_run_info
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.previous_success import previous_success
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.run_params import run_params
from kaon_coordinator.shell.inbound.newcomers import Begun
from kaon_coordinator.store import submission_sql
from kaon_coordinator.store.base import NO_LABELS, NewRun, RunRecord, WorkflowRecord
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.submission_store import SubmissionStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.store.submission_sql import REOPENING
from kaon_service import principal
from kaon_service.principal import Principal
from kaon_wire.definitions import targets as aims
from kaon_wire.errors import InvalidValue, KaonError, Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2, run_pb2

log = structlog.get_logger(__name__)

_REASON_CHARACTERS = 2_000
# Prefixes of the idempotency keys of schedules and backfills.
_OWN_KEYS = ("schedule:", "backfill:")
# Versions of workflows kept in the cache.
_KEPT_VERSIONS = 200
# Runs that begin in one turn and transaction. A turn decides all that begins before it lets others go on.
TOGETHER = 100


class SubmitterStore(WorkflowStore, SubmissionStore, AsideStore, RunStore, Protocol):
    """What submissions need of the store."""


class Wake(Protocol):
    """Wakes the owner of a partition with new commands. A wake-up may be lost: owners also poll."""

    def __call__(self, partition: int, submitted: RunRecord | None = None, /) -> Awaitable[None]:
        """Wake the owner; `submitted` is the run that was just stored, if any."""


class Begin(Protocol):
    """Begins runs in the transaction that stores them, those whose owners are in this process."""

    def __call__(self, runs: Sequence[NewRun], /) -> Awaitable[Sequence[Begun]]:
        """Return what became of each; None when it must be stored first, and its owner woken."""


async def store_first(runs: Sequence[NewRun]) -> Sequence[Begun]:
    """Begin nothing."""
    return [None] * len(runs)


class Submission:
    """Stores the submissions and commands of callers.

    Args:
        store: The store.
        wake: Wakes owners.
        begin: Begins runs whose owner is in this process.
        partitions: The number of partitions of runs.
        now_us: Returns microseconds since the epoch.
        new_run_id: Returns an id for a run that is submitted at a time.
        limits: The bounds of parameters.
        renewal: Renews artifacts that callers need again.
        outcomes: Waits for the outcomes of commands.
        quotas: Refuses runs beyond the limits of their tenants.
        bounds: Bounds what tenants submit.
        grants: Tells which tenant has which artifacts.
    """

    def __init__(
        self,
        *,
        store: StoreCalls[SubmitterStore],
        wake: Wake,
        partitions: int,
        now_us: Callable[[], int],
        renewal: ArtifactRenewal,
        outcomes: Outcomes,
        quotas: Quotas,
        bounds: TenantBounds,
        grants: Grants,
        begin: Begin = store_first,
        new_run_id: Callable[[int], str] = new_run_id,
        limits: Limits = DEFAULT,
    ) -> None:
        self.now_us = now_us
        self.new_run_id = new_run_id
        self.limits = limits
        self.bounds = bounds
        self.grants = grants
        self._threads = store
        self._wake_owner = wake
        self._begin = begin
        self.partitions = partitions
        self._submitter = Submitter(store)
        self.renewal = renewal
        self._outcomes = outcomes
        self._quotas = quotas
        self._wakes: set[asyncio.Task[None]] = set()
        # By tenant, name and version. A version never changes, and no code changes these records.
        self._versions: OrderedDict[tuple[str, str, str], WorkflowRecord] = OrderedDict()

    async def workflow(self, name: str, version: str) -> WorkflowRecord:
        """Return a workflow of the caller's tenant, not to be changed; an empty version means the current one.

        Raises:
            NotFound: The version does not exist, or its unused code was deleted.
        """
        tenant = principal.current().tenant
        found = self._versions.get((tenant, name, version))
        if found is None:
            found = await self._threads.read(
                self._threads.store.get_workflow, tenant, name, version
            )
            self._versions[tenant, name, found.version] = found
            while len(self._versions) > _KEPT_VERSIONS:
                self._versions.popitem(last=False)
        await self.renewal.bundle(found.definition.code_bundle)
        return found

    async def previous_success(self, workflow: WorkflowRecord) -> run_pb2.PreviousRun | None:
        """Return what a new run of a workflow is told of the last success; None without one, or when the workflow does not ask."""
        if not may_use_run_info(workflow.definition):
            return None
        return await self._threads.read(previous_success, self._threads.store, workflow)

    def new_run(
        self,
        workflow: WorkflowRecord,
        given: Mapping[str, str],
        *,
        idempotency_key: str,
        priority: int = 0,
        labels: Mapping[str, str] = NO_LABELS,
        targets: run_pb2.RunTargets | None = None,
        origin: str = "",
        scheduled_us: int = 0,
        previous: run_pb2.PreviousRun | None = None,
    ) -> NewRun:
        """Build a run of the caller with checked and complete parameters and labels.

        Raises:
            InvalidValue: The error names every wrong parameter, label or target.
        """
        targets = targets or run_pb2.RunTargets()
        if wrong := list(aims.problems(workflow.definition, targets)):
            raise InvalidValue("; ".join(wrong))
        caller, now_us = principal.current(), self.now_us()
        run_id = self.new_run_id(now_us)
        complete = run_params(
            workflow,
            given,
            self.limits,
            run_id=run_id,
            submit_us=now_us,
            origin=origin,
            scheduled_us=scheduled_us,
            previous=previous,
        )
        return NewRun(
            run_id=run_id,
            tenant=workflow.tenant,
            workflow=workflow.name,
            version=workflow.version,
            partition=partition_of(run_id, self.partitions),
            params=complete.values,
            computed=complete.computed,
            submitter=caller.name,
            idempotency_key=idempotency_key,
            now_us=now_us,
            priority=priority,
            trace_parent=caller.trace_parent,
            labels=run_labels.checked(labels),
            origin=origin,
            scheduled_us=scheduled_us,
            previous=previous,
            only=tuple(dict.fromkeys(targets.only)),
            until=tuple(dict.fromkeys(targets.until)),
        )

    async def submit(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Store a run durably; return it with False when its key was used for it before.

        Raises:
            Conflict: The idempotency key was used for another payload.
            Exhausted: The run exceeds a limit of its tenant.
            Denied, InvalidRequest: See `check`.
        """
        await self.check(run)
        await self._quotas.check_runs([run])
        await self.renewal.named_in(*map(str.encode, run.params.values()))
        (begun,) = await self._begin([run])
        if isinstance(begun, Unavailable):
            raise begun
        if begun is not None:
            stored, created = begun, True
        else:
            stored, created = await self._submitter.submit(run)
        if created:
            log.info(
                "run submitted", run=stored.run_id, workflow=stored.workflow, tenant=stored.tenant
            )
        if created and begun is None:
            self.wake(stored.partition, stored)
        return stored, created

    async def check_each(self, runs: Sequence[NewRun]) -> list[KaonError | None]:
        """Return of each run of the caller whether its parameters are why it is refused.

        That is `InvalidValue` or `NotFound`, as `check` raises them.
        """
        caller, found = principal.current(), [_named(run) for run in runs]
        everything = set().union(*(each for each in found if not isinstance(each, InvalidValue)))
        lacking = await self.grants.lacking(caller, everything) if everything else set()
        return [
            each
            if isinstance(each, InvalidValue)
            else unknown(each & lacking)
            if each & lacking
            else None
            for each in found
        ]

    async def submit_each(self, runs: Sequence[NewRun]) -> list[Submitted]:
        """Store checked runs of the caller durably, each by itself; answer each in its place.

        The first ones are submitted up to the limits of the tenant, and `Exhausted` is the answer to the others. Another error
        than a `KaonError` is unforeseen, or of the database.
        """
        refusals = await self._quotas.admitted(runs)
        admitted = [run for run, refusal in zip(runs, refusals, strict=True) if refusal is None]
        stored = iter(await self._store_each(admitted))
        return [next(stored) if refusal is None else refusal for refusal in refusals]

    async def _store_each(self, runs: Sequence[NewRun]) -> list[Submitted]:
        """Begin runs in groups, and store those that do not begin here, with a wake-up for each of their partitions."""
        answers: list[Submitted] = []
        for first in range(0, len(runs), TOGETHER):
            together = runs[first : first + TOGETHER]
            await self.renewal.named_in(
                *(text.encode() for run in together for text in run.params.values())
            )
            begun = await self._begin(together)
            others = [run for run, each in zip(together, begun, strict=True) if each is None]
            stored = await self._submitter.submit_all(others) if others else []
            for partition in {
                each[0].partition for each in stored if not isinstance(each, Exception) and each[1]
            }:
                self.wake(partition)
            following = iter(stored)
            answers += [
                next(following)
                if each is None
                else each
                if isinstance(each, Unavailable)
                else (each, True)
                for each in begun
            ]
        return answers

    async def check_update(self, caller: Principal, outputs: Iterable[str]) -> None:
        """Check that an update of a dataset, which starts runs, may be told: as the submission of a run with its outputs.

        Raises:
            Exhausted: A limit of the tenant refuses it.
            NotFound: An output names an artifact that the tenant does not have.
        """
        await self._quotas.check_update(caller.tenant)
        await self.grants.check_values(caller, outputs)

    async def check_signal(self, caller: Principal, payload: str) -> None:
        """Check that a signal may be sent to all runs: it counts as a submission.

        Raises:
            Exhausted: The tenant submits too fast.
            NotFound: The payload names an artifact that the tenant does not have.
        """
        self._quotas.check_signal(caller.tenant)
        await self.grants.check_values(caller, [payload])

    async def check(self, run: NewRun) -> None:
        """Check that a run stays within the bounds of its tenant, and names no artifacts of others.

        Raises:
            Denied: Its priority is too high for the caller.
            InvalidRequest: A step can never fit into the tenant's quota.
            NotFound: A parameter names an artifact that the tenant does not have.
        """
        workflow, caller = await self.workflow(run.workflow, run.version), principal.current()
        await self.bounds.check(workflow, run.priority, caller)
        await self.grants.check_values(caller, run.params.values())

    async def like(self, run: RunRecord, new: NewRun, **changes: object) -> NewRun:
        """Copy the priority of an earlier run to a new one, as far as the caller may, and change fields."""
        workflow = await self.workflow(new.workflow, new.version)
        caller = principal.current()
        priority = await self.bounds.lowered(workflow, run.row.priority, caller)
        return replace(new, priority=priority, **changes)  # type: ignore[arg-type]

    async def submit_all(self, runs: Sequence[NewRun]) -> list[tuple[RunRecord, bool]]:
        """Store many runs in batches, and answer each in its place.

        Raises:
            Conflict: An idempotency key was used for another payload; the other runs are stored.
            Exhausted: The runs exceed a limit of their tenant; none is stored.
            Denied, InvalidRequest: See `check`; nothing is stored.
        """
        alike = {(run.workflow, run.version, run.priority): run for run in runs}
        for run in alike.values():
            await self.check(run)
        values = [text for run in runs for text in run.params.values()]
        await self.grants.check_values(principal.current(), values)
        await self._quotas.check_runs(runs)
        answers: list[tuple[RunRecord, bool]] = []
        for answer in await self._store_each(runs):
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    async def command(self, run_id: str, *, reason: str = "", **command: object) -> run_pb2.Run:
        """Store a command of the caller for a run, and wait some seconds until the run's owner has applied it.

        Returns:
            The run at that time; `commands_waiting` is not 0 when the owner has not answered in time. The command remains stored.

        Raises:
            NotFound: The tenant has no such run.
            InvalidValue: The reason is too long.
            FailedPrecondition: The run has ended, or the engine refused the command.
        """
        if len(reason) > _REASON_CHARACTERS:
            raise InvalidValue(f"reason: use at most {_REASON_CHARACTERS} characters")
        caller = principal.current()
        wish = command_pb2.RunCommand(
            run_id=run_id,
            requester=caller.name,
            reason=reason,
            command_id=uuid.uuid4().hex,
            **command,  # type: ignore[arg-type]
        )
        await self.grants.check_values(caller, _values(wish))
        # What its values name: the outputs of a marked step, the payload of a signal, the fields of an answer.
        await self.renewal.named_in(wish.SerializeToString())
        store = self._threads.store
        # Subscribed before the command is stored, so that its effect cannot be missed.
        with self._outcomes.feed.subscribe(run_id) as live:
            run = await self._threads.run(
                store.add_command, caller.tenant, run_id, wish, self.now_us()
            )
            kind = wish.WhichOneof("command")
            if run.row.status in t.TERMINAL and kind not in {"cancel", *REOPENING}:
                raise FailedPrecondition(
                    f"run {run_id} has ended: it is {t.short(run_pb2.Status.ValueType(run.row.status))}"
                )
            if kind == "cancel":
                # A command for a run that is set aside also takes the run back.
                await self.take_back(run)
            self.wake(run.partition)
            now, waiting = await self._outcomes.outcome(run, wish, live)
        told = views.run(now)
        told.commands_waiting = waiting
        return told

    async def take_back(self, run: RunRecord) -> bool:
        """Let the owner of a run that was set aside try again; False when it was not."""
        store = self._threads.store
        back = await self._threads.run(store.take_back, "run", "", run.run_id)
        if back:
            log.info("run taken back from set aside", run=run.run_id, tenant=run.tenant)
            self.wake(run.partition)
        return back

    def wake(self, partition: int, submitted: RunRecord | None = None) -> None:
        """Beside the reply: what is durable is acknowledged whether or not a broker answers."""
        task = asyncio.create_task(self._woken(partition, submitted))
        self._wakes.add(task)
        task.add_done_callback(self._wakes.discard)

    async def _woken(self, partition: int, submitted: RunRecord | None) -> None:
        try:
            await self._wake_owner(partition, submitted)
        except Exception as error:
            log.warning("wake-up lost", partition=partition, error=str(error))


def checked_key(key: str) -> str:
    """Check a caller's idempotency key.

    Raises:
        InvalidValue: The key has a prefix that Kaon reserves.
    """
    if key.startswith(_OWN_KEYS):
        raise InvalidValue(
            f"idempotency_key {key!r}: keys with {' or '.join(_OWN_KEYS)} at their start are Kaon's own"
        )
    return key


def as_new(run: NewRun) -> RunRecord:
    """Return the record that a submission of the run would give, without an id."""
    return replace(
        submission_sql.fresh_record(run), row=replace(submission_sql.fresh_row(run), run_id="")
    )


def _named(run: NewRun) -> set[str] | InvalidValue:
    """Return the artifacts that the parameters of a run name, or what is wrong with a parameter."""
    try:
        return named(run.params.values())
    except InvalidValue as error:
        return error


def _values(wish: command_pb2.RunCommand) -> Iterator[str]:
    """Yield the JSON texts of a command, whichever it is: each may become a value of the run."""
    kind = wish.WhichOneof("command")
    told = getattr(wish, kind) if kind else wish
    for field, value in told.ListFields():
        if field.name.endswith("_json"):
            yield from [value] if isinstance(value, str) else value.values()
