"""RunnerService: runners and pools as known to their matchers, and wait reasons of steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from kaon_coordinator.api import aside
from kaon_coordinator.api.owners import (
    TIMEOUT,
    Metadata,
    Stub,
    Unreachable,
    ask,
    owner_of,
    unreachable,
)
from kaon_coordinator.api.shown import shown_tenant
from kaon_coordinator.api.wait_reasons import AskMatcher, Reason, WaitReasons
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.rows.codec import restore
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.permits import turn_of
from kaon_coordinator.shell.pool_link import PoolOwner
from kaon_coordinator.shell.requests import DEFAULT_POOL
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.permit_store import PermitStore
from kaon_coordinator.store.protocols.pool_store import PoolStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.access.calling import Calling
from kaon_service.page_tokens import window
from kaon_wire.texts import counted
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc

# Levels of sub-workflows that an explanation follows.
_DEPTH = 5


class WaitStore(RunStore, WorkflowStore, PermitStore, AsideStore, PoolStore, Protocol):
    """What the service needs of the store."""


class Matchers(Protocol):
    """The matchers of this process. Answers for a tenant name nothing of other tenants; for the empty name they name everything."""

    def owned(self) -> Sequence[str]:
        """Return the pools whose matchers are in this process."""

    def unknown(self) -> Mapping[str, int]:
        """Return the pools that the deployment does not have and in which steps wait, with their number."""

    def runners(self, pool: str, tenant: str = "") -> Sequence[runner_pb2.Runner]:
        """Return the runners of such a pool."""

    def view(self, pool: str, tenant: str = "") -> runner_pb2.Pool | None:
        """Return the capacity and shortage of such a pool."""

    def explain(
        self, pool: str, run_id: str, path: str, tenant: str = ""
    ) -> list[runner_pb2.WaitReason] | None:
        """Return why a READY step waits, or None when the pool's matcher is in another process."""


@dataclass(frozen=True, kw_only=True)
class RunnerParts:
    """The dependencies of the service."""

    store: StoreCalls[WaitStore]
    matchers: Matchers
    # All pools of the deployment.
    pools: Sequence[str]
    # Name of this coordinator.
    owner: str
    # How it calls the others.
    calling: Calling
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]


class RunnerServicer(runner_pb2_grpc.RunnerServiceServicer):
    """Serves runners and pools, which belong to the deployment, and wait reasons, which belong to tenants."""

    def __init__(self, parts: RunnerParts) -> None:
        self._parts = parts
        self._matchers = parts.matchers
        self._threads = parts.store

    async def ListRunners(  # noqa: N802
        self, request: runner_pb2.ListRunnersRequest, context: Any
    ) -> runner_pb2.ListRunnersResponse:
        """Return the runners of a pool, or of all pools, asking the owners of the pools."""
        response = runner_pb2.ListRunnersResponse()
        for pool in self._here(request.pool):
            response.runners.extend(self._matchers.runners(pool, shown_tenant()))

        async def call(stub: Stub, pool: str, metadata: Metadata) -> None:
            asked = runner_pb2.ListRunnersRequest(pool=pool, local=True)
            found = await stub.ListRunners(asked, timeout=TIMEOUT, metadata=metadata)
            response.runners.extend(found.runners)

        if not request.local:
            response.unreachable.extend(await self._elsewhere(request.pool, call))
            _keep_page(request, response, response.runners, _runner_place)
        return response

    async def ListPools(  # noqa: N802
        self, request: runner_pb2.ListPoolsRequest, context: Any
    ) -> runner_pb2.ListPoolsResponse:
        """Return the capacity and shortage of a pool, or of all pools, asking the owners of the pools."""
        response = runner_pb2.ListPoolsResponse()
        for view in (
            self._matchers.view(pool, shown_tenant()) for pool in self._here(request.pool)
        ):
            if view is not None:
                view.owner = self._parts.owner
                response.pools.append(view)

        async def call(stub: Stub, pool: str, metadata: Metadata) -> None:
            asked = runner_pb2.ListPoolsRequest(pool=pool, local=True)
            found = await stub.ListPools(asked, timeout=TIMEOUT, metadata=metadata)
            response.pools.extend(found.pools)

        if not request.local:
            response.unreachable.extend(await self._elsewhere(request.pool, call))
            response.unreachable.extend(self._unknown(request.pool))
            _keep_page(request, response, response.pools, lambda pool: pool.name)
        return response

    async def ExplainStep(  # noqa: N802
        self, request: runner_pb2.ExplainStepRequest, context: Any
    ) -> runner_pb2.ExplainStepResponse:
        """Return the chain of wait reasons of a step or run, including the answer of its pool's matcher."""
        tenant = principal.current().tenant
        path, status, links = await self._threads.study(
            _reasons,
            self._threads.store,
            tenant,
            request.run_id,
            request.path,
            self._parts.now_us(),
        )
        response = runner_pb2.ExplainStepResponse(path=path, status=status)
        for link in links:
            if isinstance(link, AskMatcher):
                await self._ask_matcher(request, link, response)
            else:
                response.reasons.append(link)
        response.text = " ".join(reason.text for reason in response.reasons)
        return response

    async def _ask_matcher(
        self,
        request: runner_pb2.ExplainStepRequest,
        link: AskMatcher,
        response: runner_pb2.ExplainStepResponse,
    ) -> None:
        """Add the answer of the pool's matcher, in whichever process it runs."""
        pool = link.pool or DEFAULT_POOL
        if pool not in self._parts.pools:
            text = f"{link.path} is ready, and no runner can take it: {self._no_such(pool)}."
            cause = runner_pb2.WAIT_CAUSE_NO_RUNNER
            response.reasons.append(runner_pb2.WaitReason(cause=cause, text=text, path=link.path))
            response.pool = response.pool or pool
            return
        reasons: Sequence[runner_pb2.WaitReason] | None
        reasons = self._matchers.explain(pool, link.run_id, link.path, shown_tenant())
        owner = PoolOwner(name=self._parts.owner, address="")
        if reasons is None:
            owner = await owner_of(self._threads, pool)
            reasons = await self._ask_owner(owner, pool, request, link)
        if link.unless_built is not None and not _is_built(reasons):
            reasons = [link.unless_built]
        for reason in reasons:
            if link.run_id != request.run_id:
                reason.run_id = link.run_id
            if reason.run_id or link.path != response.path:
                reason.text = f"{link.path}: {reason.text}"
            response.reasons.append(reason)
        if not response.pool:
            response.pool, response.owner, response.owner_address = pool, owner.name, owner.address

    async def _ask_owner(
        self,
        owner: PoolOwner,
        pool: str,
        request: runner_pb2.ExplainStepRequest,
        link: AskMatcher,
    ) -> Sequence[runner_pb2.WaitReason]:
        asked = runner_pb2.ExplainStepRequest(run_id=link.run_id, path=link.path, local=True)
        problem = "this coordinator does not own it"
        if not request.local:
            try:
                answer = await ask(
                    owner,
                    self._parts.calling,
                    lambda stub, kept: stub.ExplainStep(asked, timeout=TIMEOUT, metadata=kept),
                )
                return answer.reasons
            except Unreachable as error:
                problem = str(error)
        who = (
            f"coordinator {owner.name} at {owner.address or 'an unknown address'}"
            if owner.name
            else "nobody"
        )
        text = f"It is ready, and waits in pool {pool!r}, which {who} owns and which cannot be asked: {problem}."
        return [
            runner_pb2.WaitReason(cause=runner_pb2.WAIT_CAUSE_NO_MATCHER, text=text, path=link.path)
        ]

    def _here(self, pool: str) -> list[str]:
        """Return the requested pools whose matchers are in this process."""
        return [name for name in self._matchers.owned() if pool in {"", name}]

    def _unknown(self, asked: str) -> list[runner_pb2.UnreachablePool]:
        """Pools that steps name and that the deployment does not have; nobody knows whose steps they are."""
        if shown_tenant():
            return []
        return [
            runner_pb2.UnreachablePool(
                pool=pool,
                problem=f"{self._no_such(pool)}; {counted(count, 'step waits', 'steps wait')} in it",
                unknown=True,
            )
            for pool, count in self._matchers.unknown().items()
            if asked in {"", pool}
        ]

    def _no_such(self, pool: str) -> str:
        return (
            f"the deployment has no pool {pool!r}, only {', '.join(self._parts.pools)} (KAON_POOLS)"
        )

    async def _elsewhere(
        self, pool: str, call: Callable[[Stub, str, Metadata], Awaitable[None]]
    ) -> list[runner_pb2.UnreachablePool]:
        """Ask the owners of the other pools; return those that do not answer."""
        others = [name for name in self._parts.pools if pool in {"", name}]
        missed = []
        for name in (name for name in others if name not in self._matchers.owned()):
            owner = await owner_of(self._threads, name)
            try:
                await ask(owner, self._parts.calling, partial(_call, call, name))
            except Unreachable as error:
                missed.append(unreachable(name, owner, str(error)))
        return missed


def _is_built(reasons: Sequence[runner_pb2.WaitReason]) -> bool:
    """Tell whether a matcher says that a step's environment is being built."""
    return any(reason.cause == runner_pb2.WAIT_CAUSE_ENVIRONMENT for reason in reasons)


async def _call(
    call: Callable[[Stub, str, Metadata], Awaitable[None]],
    pool: str,
    stub: Stub,
    metadata: Metadata,
) -> None:
    await call(stub, pool, metadata)


def _reasons(
    store: WaitStore, tenant: str, run_id: str, path: str, now_us: int
) -> tuple[str, t.Status, list[Reason]]:
    """Read the run and follow what the step, or without a path the run, waits for, also into child runs.

    Blocks: for the store's threads.

    Returns:
        The path and the status of the step or run, and the chain.
    """
    waits = _read(store, tenant, run_id, now_us)
    node, links = waits.of(path) if path else (None, waits.of_run())
    told = _aside(store, run_id)
    for link in links:
        told.append(link)
        if (
            isinstance(link, runner_pb2.WaitReason)
            and link.cause == runner_pb2.WAIT_CAUSE_CHILD_RUN
        ):
            told += _child(store, tenant, link.others[0], now_us, depth=1)
    if node is not None:
        return node.path, node.status, told
    return path, t.PENDING if path else waits.status, told


def _aside(store: WaitStore, run_id: str) -> list[Reason]:
    """Return the wait reason of a run that is set aside."""
    found = aside.find(store, run_id)
    if found is None:
        return []
    text = f"Run {run_id} is set aside: {aside.told(found)}."
    return [runner_pb2.WaitReason(cause=runner_pb2.WAIT_CAUSE_SET_ASIDE, text=text)]


def _child(store: WaitStore, tenant: str, run_id: str, now_us: int, *, depth: int) -> list[Reason]:
    """Return the wait reasons of a child run."""
    told = _aside(store, run_id)
    for link in _read(store, tenant, run_id, now_us).of_run():
        told.append(link)
        if isinstance(link, AskMatcher):
            continue
        link.run_id = run_id
        if link.cause == runner_pb2.WAIT_CAUSE_CHILD_RUN and depth < _DEPTH:
            told += _child(store, tenant, link.others[0], now_us, depth=depth + 1)
    return told


def _read(store: WaitStore, tenant: str, run_id: str, now_us: int) -> WaitReasons:
    """Return the wait reasons of a run of this tenant.

    Raises:
        NotFound: The tenant has no such run.
    """
    store.get_run(tenant, run_id)
    run = store.load_run(run_id)
    record = store.get_workflow(run.tenant, run.workflow, run.version)
    state = restore(
        workflow=compile_workflow(record.definition, record.version),
        run=run.row,
        tenant=tenant,
        submitter=run.submitter,
        params=run.params,
        steps=run.steps,
        blocks=run.blocks,
    )
    permits = {permit.key: permit for permit in store.list_permits(tenant)}
    turn = turn_of(state) if state.status == t.PENDING else None
    standing = None if turn is None else store.standing(tenant, run_id, turn)
    return WaitReasons(state, permits, now_us, standing, partial(store.permit_holders, tenant))


def _runner_place(runner: runner_pb2.Runner) -> str:
    """Return the text by which runners are ordered."""
    return f"{runner.pool}\0{runner.runner_id}\0{runner.incarnation}"


def _keep_page(request: Any, response: Any, rows: Any, place: Callable[[Any], str]) -> None:
    """Order the rows of a response by their places, and leave those of the page that was asked for."""
    wanted = window(request.page_size, request.page_token)
    found = sorted((row for row in rows if place(row) > wanted.after), key=place)
    page, response.next_page_token = wanted.cut(found, place)
    del rows[:]
    rows.extend(page)
