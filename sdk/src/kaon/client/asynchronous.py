"""The client for programs with an event loop: every method of `Client`, to be awaited.

Calls and streams are those of `Client`, on threads; none is written twice.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from kaon.client.access import Access
from kaon.client.artifacts import Artifacts
from kaon.client.audit import Audit
from kaon.client.channel import Endpoints
from kaon.client.client import CALL, WATCH, Client
from kaon.client.datasets import Datasets
from kaon.client.handle import RunHandle
from kaon.client.models import Models
from kaon.client.retrying import Patience
from kaon.client.schedules import Schedules
from kaon.client.stopping import STOPPER, Stopper
from kaonapi.run.v1 import run_pb2

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


class Twin(Protocol):
    """An asynchronous object, and the one that does the work."""

    sync: Any


def _calls(
    method: Callable[Concatenate[Any, P], T],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return the twin of a method that returns once."""

    @functools.wraps(method)
    async def called(self: Twin, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await _on_thread(functools.partial(method, self.sync, *args, **kwargs))

    return called


def _streams(
    method: Callable[Concatenate[Any, P], Iterator[T]],
) -> Callable[Concatenate[Any, P], AsyncIterator[T]]:
    """Return the twin of a method that yields."""

    @functools.wraps(method)
    async def streamed(self: Twin, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        stopper = Stopper()
        try:
            elements = await _on_thread(lambda: method(self.sync, *args, **kwargs), stopper)
            while True:
                element: Any = await _on_thread(lambda: next(elements, _END), stopper)
                if element is _END:
                    return
                yield element
        finally:
            stopper.stop()

    return streamed


def _gives_run(
    method: Callable[Concatenate[Any, P], RunHandle],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, AsyncRunHandle]]:
    """Return the twin of a method that gives a run."""

    @functools.wraps(method)
    async def called(self: Twin, /, *args: P.args, **kwargs: P.kwargs) -> AsyncRunHandle:
        return AsyncRunHandle(
            await _on_thread(functools.partial(method, self.sync, *args, **kwargs))
        )

    return called


def _gives_runs(
    method: Callable[Concatenate[Any, P], Sequence[RunHandle]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, list[AsyncRunHandle]]]:
    """Return the twin of a method that gives runs."""

    @functools.wraps(method)
    async def called(self: Twin, /, *args: P.args, **kwargs: P.kwargs) -> list[AsyncRunHandle]:
        handles = await _on_thread(functools.partial(method, self.sync, *args, **kwargs))
        return [AsyncRunHandle(each) for each in handles]

    return called


async def _on_thread(call: Callable[[], T], stopper: Stopper | None = None) -> T:
    """Call on a thread. When the task is cancelled meanwhile, the streams that the call reads end, and the thread with them."""
    stopper = stopper or Stopper()
    context = copy_context()
    context.run(STOPPER.set, stopper)
    # Not `to_thread`, which would lose the thread when the task is cancelled.
    working = asyncio.get_running_loop().run_in_executor(None, context.run, call)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        stopper.stop()
        await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # it has been looked at: that it was stopped is no news
        raise


class AsyncRunHandle:
    """The twin of `RunHandle`; what is a property there is awaited here. `run` is what is known without asking."""

    def __init__(self, handle: RunHandle) -> None:
        self.sync = handle

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"

    def _repr_html_(self) -> str:
        return self.sync._repr_html_()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.sync.run_id

    async def status(self) -> str:
        """How it stands now."""
        return await _on_thread(lambda: self.sync.status)

    async def outputs(self) -> Mapping[str, Any]:
        """Return what it gives, by name, when it has ended."""
        return await _on_thread(lambda: self.sync.outputs)

    async def steps(self) -> Sequence[run_pb2.StepView]:
        """Its steps as they stand now."""
        return await _on_thread(lambda: self.sync.steps)

    async def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended; the cancellation of the task ends the waiting, not the run."""
        await _on_thread(lambda: self.sync.wait(timeout))
        return self

    refresh = _calls(RunHandle.refresh)
    result = _calls(RunHandle.result)
    logs = _streams(RunHandle.logs)
    metrics = _calls(RunHandle.metrics)
    download = _calls(RunHandle.download)
    cancel = _calls(RunHandle.cancel)


class AsyncArtifacts:
    """The twin of `Artifacts`."""

    def __init__(self, sync: Artifacts) -> None:
        self.sync = sync

    put = _calls(Artifacts.put)
    list = _streams(Artifacts.list)
    find = _calls(Artifacts.find)
    read = _streams(Artifacts.read)
    download = _calls(Artifacts.download)


class AsyncDatasets:
    """The twin of `Datasets`."""

    def __init__(self, sync: Datasets) -> None:
        self.sync = sync

    list = _calls(Datasets.list)
    get = _calls(Datasets.get)
    updates = _streams(Datasets.updates)
    record = _calls(Datasets.record)


class AsyncSchedules:
    """The twin of `Schedules`."""

    def __init__(self, sync: Schedules) -> None:
        self.sync = sync

    put = _calls(Schedules.put)
    get = _calls(Schedules.get)
    list = _calls(Schedules.list)
    delete = _calls(Schedules.delete)
    set_paused = _calls(Schedules.set_paused)
    run = _calls(Schedules.run)
    backfill = _calls(Schedules.backfill)
    set_permits = _calls(Schedules.set_permits)
    permits = _calls(Schedules.permits)


class AsyncAudit:
    """The twin of `Audit`."""

    def __init__(self, sync: Audit) -> None:
        self.sync = sync

    list = _streams(Audit.list)
    export = _streams(Audit.export)


class AsyncAccess:
    """The twin of `Access`."""

    def __init__(self, sync: Access) -> None:
        self.sync = sync

    whoami = _calls(Access.whoami)
    create_token = _calls(Access.create_token)
    tokens = _streams(Access.tokens)
    revoke_token = _calls(Access.revoke_token)
    put_tenant = _calls(Access.put_tenant)
    tenants = _streams(Access.tenants)
    tenant = _calls(Access.tenant)


class AsyncModels:
    """The twin of `Models`."""

    def __init__(self, sync: Models) -> None:
        self.sync = sync

    list = _calls(Models.list)
    listing = _calls(Models.listing)
    get = _calls(Models.get)
    promote = _calls(Models.promote)
    rollback = _calls(Models.rollback)
    watch = _streams(Models.watch)
    acknowledge = _calls(Models.acknowledge)


class AsyncClient:
    """The twin of `Client`: the same arguments, methods and errors.

        async with AsyncClient() as client:
            run = await client.submit(workflow)
            print(await run.result(timeout=60))

    A cancelled task ends the stream that it reads at once, a call when it has been answered.
    """

    def __init__(
        self,
        endpoints: Endpoints | None = None,
        *,
        patience: Patience = CALL,
        watch_patience: Patience = WATCH,
    ) -> None:
        self.sync = Client(endpoints, patience=patience, watch_patience=watch_patience)
        self.artifacts = AsyncArtifacts(self.sync.artifacts)
        self.datasets = AsyncDatasets(self.sync.datasets)
        self.schedules = AsyncSchedules(self.sync.schedules)
        self.models = AsyncModels(self.sync.models)
        self.audit = AsyncAudit(self.sync.audit)
        self.access = AsyncAccess(self.sync.access)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    close = _calls(Client.close)
    register = _calls(Client.register)
    register_definition = _calls(Client.register_definition)
    upload_bundle = _calls(Client.upload_bundle)
    workflow = _calls(Client.workflow)
    workflows = _calls(Client.workflows)
    submit = _gives_run(Client.submit)
    submit_registered = _gives_run(Client.submit_registered)
    submit_encoded = _calls(Client.submit_encoded)
    submit_many = _gives_runs(Client.submit_many)
    submit_requests = _streams(Client.submit_requests)
    handle = _gives_run(Client.handle)
    run = _calls(Client.run)
    summary = _calls(Client.summary)
    until_ended = _calls(Client.until_ended)
    runs = _calls(Client.runs)
    watch = _streams(Client.watch)
    history = _streams(Client.history)
    metrics = _calls(Client.metrics)
    trials = _calls(Client.trials)
    encode_params = _calls(Client.encode_params)
    download = _calls(Client.download)
    logs = _streams(Client.logs)
    whole_log = _streams(Client.whole_log)
    runners = _calls(Client.runners)
    list_runners = _calls(Client.list_runners)
    list_pools = _calls(Client.list_pools)
    diagnose = _calls(Client.diagnose)
    why = _calls(Client.why)
    cancel = _calls(Client.cancel)
    pause = _calls(Client.pause)
    set_breakpoint = _calls(Client.set_breakpoint)
    pass_breakpoint = _calls(Client.pass_breakpoint)
    resume = _calls(Client.resume)
    signal = _calls(Client.signal)
    signal_all = _calls(Client.signal_all)
    answer = _calls(Client.answer)
    retry = _calls(Client.retry)
    restart = _calls(Client.restart)
    mark = _calls(Client.mark)
    set_priority = _calls(Client.set_priority)
    rerun = _calls(Client.rerun)
    fork = _calls(Client.fork)
    run_at = _calls(Client.run_at)
    verify = _calls(Client.verify)
    definition_of = _calls(Client.definition_of)
