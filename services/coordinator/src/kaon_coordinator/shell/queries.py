"""Questions of the engine to the outside; the answers come back as its messages in a later turn.

Nothing here is stored: when an answer is lost, the partition's next owner derives the question again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

import structlog

from kaon_artifacts.errors import ArtifactError, StoreUnavailable
from kaon_coordinator.engine.actions import (
    Action,
    AwaitRun,
    Continue,
    LookUpMemo,
    PrepareChild,
    ReadItems,
    TakePermits,
    WriteManifests,
)
from kaon_coordinator.engine.decision import ENGINE_FAULT
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    ChildPrepared,
    Continued,
    ItemsRead,
    ManifestsWritten,
    MemoFound,
    MemoMissed,
    Message,
    PermitsGranted,
    PermitsRefused,
    Unprepared,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.run_info import may_use_run_info
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import note_fault
from kaon_coordinator.previous_success import previous_success
from kaon_coordinator.run_params import run_params
from kaon_coordinator.shell.artifact_io import ArtifactIO
from kaon_coordinator.shell.continuing import hindrance
from kaon_coordinator.shell.permits import Grant, PermitQueue, Refused, still_wanted
from kaon_coordinator.shell.run_watch import RunWatch
from kaon_coordinator.store.base import WorkflowRecord
from kaon_coordinator.store.protocols.grant_store import GrantStore
from kaon_coordinator.store.protocols.memo_store import MemoStore
from kaon_coordinator.store.protocols.permit_store import PermitStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.store.strategies import DEADLOCK
from kaon_wire.artifact_references import sizes
from kaon_wire.errors import InvalidValue, KaonError, NotFound, Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

# The actions that `Queries.ask` answers.
Query: TypeAlias = (
    AwaitRun | Continue | LookUpMemo | PrepareChild | ReadItems | TakePermits | WriteManifests
)

# Questions whose answers take long.
_Work: TypeAlias = LookUpMemo | PrepareChild | ReadItems | WriteManifests

_AT_ONCE = 16
# Seconds between attempts while a store does not answer.
_AGAIN = (0.5, 2.0, 5.0)


class QueryStore(RunStore, WorkflowStore, MemoStore, PermitStore, GrantStore, Protocol):
    """What queries look up."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The sources of answers."""

    store: StoreCalls[QueryStore]
    # None: steps that need artifacts fail with an explanation.
    artifact_io: ArtifactIO | None
    limits: Limits
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]
    # Returns a fresh id for a run that is submitted at this time.
    new_run_id: Callable[[int], str]
    # Returns why a run of this priority may not call a workflow by a name that it knows only now; empty: it may.
    may_call: Callable[[WorkflowRecord, int], Awaitable[str]]
    # Returns the epoch under which this process owns a partition, or None.
    epoch_of: Callable[[int], int | None]
    # Called with the partition and epoch under which the store refused.
    fenced: Callable[[int, int], None]
    # Called with the partition and run of a fault, the activity, and the exception.
    faulted: Callable[[int, str, str, BaseException], None]
    # Requests a turn.
    wake: Callable[[], None]


class Queries:
    """Pending questions, and answers that wait for the next turn of their partition."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._ready: dict[int, list[tuple[str, Message]]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.permits = PermitQueue(
            store=outside.store,
            epoch_of=outside.epoch_of,
            granted=self._granted,
            refused=self._refused,
            fenced=outside.fenced,
            faulted=outside.faulted,
            now_us=outside.now_us,
        )
        self.runs = RunWatch(
            store=outside.store,
            answered=self._answer,
            faulted=outside.faulted,
            now_us=outside.now_us,
        )

    def ask(self, partition: int, state: RunState, action: Action) -> None:
        """Start answering a question; ignore other actions."""
        match action:
            case Continue(path=path):
                self._answer(partition, state.run_id, Continued(path=path))
            case TakePermits():
                if still_wanted(state, action):
                    self.permits.want(partition, state, action)
            case AwaitRun():
                self.runs.want(partition, state, action)
            case LookUpMemo():
                self._begin(partition, state, action, partial(self._look_up, state, action))
            case PrepareChild():
                self._begin(partition, state, action, partial(self._prepare, state, action))
            case ReadItems():
                self._begin(partition, state, action, partial(self._read_items, action))
            case WriteManifests():
                self._begin(
                    partition, state, action, partial(self._write_manifests, state.tenant, action)
                )

    def waits(self, partition: int) -> bool:
        """Tell whether answers wait for the partition's next turn."""
        return bool(self._ready.get(partition))

    def take(self, partition: int) -> list[tuple[str, Message]]:
        """Return the answers for a partition, each with its run, in order of arrival."""
        return self._ready.pop(partition, [])

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed; that owner asks again."""
        self._ready.pop(partition, None)
        self.permits.drop(partition)
        self.runs.drop(partition)

    def check(self) -> None:
        """Raise an unforeseen error of a question."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Cancel pending questions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answer(self, partition: int, run_id: str, message: Message) -> None:
        self._ready[partition].append((run_id, message))
        self._outside.wake()

    def _granted(self, grant: Grant) -> None:
        self._answer(
            grant.partition,
            grant.holder.run_id,
            PermitsGranted(path=grant.holder.path, asked=grant.asked),
        )

    def _refused(self, refused: Refused) -> None:
        holder, refusal = refused.holder, refused.refusal
        message: Message
        if holder.path:
            message = Unprepared(
                path=holder.path, asked=refused.asked, kind=refusal.kind, problem=refusal.text
            )
        else:
            message = PermitsRefused(
                status=t.FAILED if refusal.kind == DEADLOCK else t.CANCELLED,
                kind=refusal.kind,
                problem=refusal.text,
            )
        self._answer(refused.partition, holder.run_id, message)

    def _begin(
        self,
        partition: int,
        state: RunState,
        query: _Work,
        answer: Callable[[], Awaitable[Message]],
    ) -> None:
        task = asyncio.ensure_future(self._work(partition, state.run_id, query, answer))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._outside.wake()

    async def _work(
        self, partition: int, run_id: str, query: _Work, answer: Callable[[], Awaitable[Message]]
    ) -> None:
        path, asked = query.path, query.asked
        async with self._room:
            try:
                message = await answer()
            except (StoreUnavailable, Unavailable) as error:
                message = Unprepared(path=path, asked=asked, kind="Platform", problem=str(error))
            except KaonError as error:
                message = Unprepared(
                    path=path, asked=asked, kind="BindingError", problem=str(error)
                )
            except Exception as error:
                fault = note_fault(
                    f"{type(query).__name__} was answered", error, run=run_id, path=path
                )
                message = Unprepared(path=path, asked=asked, kind=ENGINE_FAULT, problem=str(fault))
        # A partition that was lost meanwhile, even if it came back, has been asked again.
        if self._outside.epoch_of(partition) is not None:
            self._answer(partition, run_id, message)

    async def _look_up(self, state: RunState, action: LookUpMemo) -> Message:
        store = self._outside.store
        memo = await _patiently(lambda: store.read(store.store.find_memo, state.tenant, action.key))
        missed = MemoMissed(path=action.path, asked=action.asked, key=action.key)
        if memo is None or memo.run_id == state.run_id:
            return missed
        if action.max_age_ms and self._outside.now_us() - memo.time_us > action.max_age_ms * 1000:
            return missed
        try:
            if not await self._exist(memo.outputs):
                return missed
        except ArtifactError as error:
            # The step can run itself.
            log.warning("memo not used", run=state.run_id, path=action.path, reason=str(error))
            return missed
        return MemoFound(
            path=action.path,
            asked=action.asked,
            key=action.key,
            outputs=memo.outputs,
            run_id=memo.run_id,
            source_path=memo.path,
        )

    async def _exist(self, outputs: Mapping[str, str]) -> bool:
        if not any('"artifact"' in text for text in outputs.values()):
            return True
        return await self._artifact_io().all_exist(outputs)

    async def _read_items(self, action: ReadItems) -> Message:
        items = await _patiently(lambda: self._artifact_io().read_items(action.artifact_json))
        return ItemsRead(path=action.path, asked=action.asked, items=items)

    async def _write_manifests(self, tenant: str, action: WriteManifests) -> Message:
        inputs = {
            name: await _patiently(lambda text=text: self._artifact_io().write(text))  # type: ignore[misc]
            for name, text in sorted(action.values.items())
        }
        store = self._outside.store
        written = sizes(inputs.values())
        await _patiently(lambda: store.run(store.store.grant, tenant, written))
        return ManifestsWritten(path=action.path, asked=action.asked, inputs=inputs)

    async def _prepare(self, state: RunState, action: PrepareChild) -> Message:
        store = self._outside.store
        try:
            workflow = await _patiently(
                lambda: store.read(
                    store.store.get_workflow, state.tenant, action.workflow, action.version
                )
            )
            if action.bound and (problem := await self._may_call(workflow, state.priority)):
                raise InvalidValue(problem)
            known = {each.name for each in workflow.definition.parameters}
            passed = {name: value for name, value in action.passed.items() if name in known}
            given = passed | dict(action.params)
            now_us = self._outside.now_us()
            fresh = self._outside.new_run_id(now_us)
            previous = None
            if may_use_run_info(workflow.definition):
                previous = await _patiently(
                    lambda: store.read(previous_success, store.store, workflow)
                )
            complete = run_params(
                workflow,
                given,
                self._outside.limits,
                run_id=fresh,
                submit_us=now_us,
                origin=f"run:{state.run_id}",
                scheduled_us=state.scheduled_us,
                previous=previous,
            )
            # Another run computes others.
            compared = {
                name: text
                for name, text in complete.values.items()
                if name not in complete.computed
            }
        except (NotFound, InvalidValue) as error:
            return Unprepared(
                path=action.path, asked=action.asked, kind="BindingError", problem=str(error)
            )
        return ChildPrepared(
            path=action.path,
            asked=action.asked,
            child_run_id=await self._child_run(state, action, workflow, compared) or fresh,
            workflow=workflow.name,
            version=workflow.version,
            params=complete.values,
            previous=previous,
        )

    async def _may_call(self, workflow: WorkflowRecord, priority: int) -> str:
        return await _patiently(lambda: self._outside.may_call(workflow, priority))

    async def _child_run(
        self,
        state: RunState,
        action: PrepareChild,
        wanted: WorkflowRecord,
        params: Mapping[str, str],
    ) -> str:
        """Return the id of the run that can continue for a block; empty when there is none."""
        store = self._outside.store
        if action.continues:
            reason = await _patiently(
                lambda: store.read(hindrance, store.store, state, action, wanted, params)
            )
            if not reason:
                return action.continues
            log.info(
                "child run replaced by a new one",
                run=state.run_id,
                path=action.path,
                before=action.continues,
                reason=reason,
            )
        return ""

    def _artifact_io(self) -> ArtifactIO:
        if self._outside.artifact_io is None:
            raise StoreUnavailable("this coordinator has no artifact store")
        return self._outside.artifact_io


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call a store, and retry while it is unavailable."""
    for seconds in _AGAIN:
        try:
            return await call()
        except (StoreUnavailable, Unavailable) as error:
            log.warning("store query failed; retrying", seconds=seconds, reason=str(error))
            await asyncio.sleep(seconds)
    return await call()
