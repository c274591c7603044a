"""RunService: signals to all runs of a tenant.

Which runs hear a signal is decided here; in each of them the engine decides which gates take it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from kaon_coordinator import expressions
from kaon_coordinator.api import signal_payloads
from kaon_coordinator.api.submission import Submission, checked_key
from kaon_coordinator.engine.kinds.signal_gates import lacking, native_params, takes
from kaon_coordinator.store.base import Hearer, LeftOut, SentSignal
from kaon_coordinator.store.protocols.signal_store import SignalStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import Conflict, Exhausted, InvalidValue
from kaonapi.run.v1 import command_pb2, run_service_pb2_grpc
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

log = structlog.get_logger(__name__)

# Runs that one signal reaches, and bytes that it stores for all of them: they are one transaction.
MOST_RUNS = 10_000
MOST_BYTES = 64 * 1024 * 1024
# Versions of workflows that an answer names as left out.
_NAMED = 100


class TenantSignalStore(SignalStore, WorkflowStore, Protocol):
    """What signals need of the store."""


@dataclass(frozen=True, kw_only=True)
class _Sender:
    """Who sends which signal."""

    tenant: str
    name: str
    roles: frozenset[str]
    # Canonical JSON.
    payload: str


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """Whom a signal reaches, each with the payload that is complete for its workflow."""

    runs: Sequence[tuple[Hearer, str]]
    left_out: Sequence[LeftOut]


class TenantSignalsServicer(run_service_pb2_grpc.RunServiceServicer):
    """The method that sends a signal to all runs."""

    _threads: StoreCalls[Any]
    _submission: Submission

    async def SignalRuns(self, request: r.SignalRunsRequest, context: Any) -> r.SignalRunsResponse:  # noqa: N802
        """Send a signal to the runs of the tenant in which a gate takes it or may still take it."""
        caller = principal.current()
        payload = signal_payloads.checked(request.name, request.payload_json)
        key = checked_key(request.idempotency_key)
        digest = canonical.digest_bytes(payload.encode())
        store: TenantSignalStore = self._threads.store
        if key and (first := await self._threads.read(store.find_signal, caller.tenant, key)):
            return _answer(first, request.name, digest, created=False)
        await self._submission.check_signal(caller, payload)
        await self._submission.renewal.named_in(request.SerializeToString())
        sender = _Sender(
            tenant=caller.tenant, name=request.name, roles=caller.roles, payload=payload
        )
        heard = await self._threads.study(_heard, store, sender)
        signal = SentSignal(
            tenant=caller.tenant,
            key=key or uuid.uuid4().hex,
            name=request.name,
            payload_digest=digest,
            requester=caller.name,
            time_us=self._submission.now_us(),
            left_out=heard.left_out[:_NAMED],
            runs=0,
            waiting=0,
        )
        commands = [_command(signal, sender, *each) for each in heard.runs]
        waiting = [hearer.run_id for hearer, _ in heard.runs if hearer.waits]
        kept, partitions = await self._threads.run(store.send_signal, signal, commands, waiting)
        for partition in partitions or ():
            self._submission.wake(partition)
        log.info("signal sent to runs", tenant=kept.tenant, signal=kept.name, runs=kept.runs)
        return _answer(kept, request.name, digest, created=partitions is not None)


def _heard(store: TenantSignalStore, sender: _Sender) -> _Heard:
    """Find who hears a signal. Blocks: for threads.

    Raises:
        Exhausted: They are too many.
    """
    reached: list[tuple[Hearer, str]] = []
    left_out: list[LeftOut] = []
    size = 0
    for name, version in store.open_versions(sender.tenant):
        definition = store.get_workflow(sender.tenant, name, version).definition
        gates = _gates(definition, sender.name)
        if not gates:
            continue
        runs = store.hearers(
            sender.tenant, name, version, gates, _around(definition, gates), MOST_RUNS + 1
        )
        if not runs:
            continue
        reason = lacking(definition, sender.name, sender.roles)
        payload = sender.payload
        if not reason:
            try:
                payload = signal_payloads.completed(definition, sender.name, payload)
            except InvalidValue as error:
                reason = str(error)
        if reason:
            left_out.append(LeftOut(workflow=name, version=version, runs=len(runs), reason=reason))
            continue
        taking = [run for run in runs if _takes(definition, list(gates.values()), payload, run)]
        reached += [(run, payload) for run in taking]
        size += len(taking) * len(payload)
        _check_size(sender.name, len(reached), size)
    return _Heard(runs=reached, left_out=left_out)


def _check_size(name: str, runs: int, size: int) -> None:
    if runs > MOST_RUNS:
        raise Exhausted(
            f"signal {name!r} would reach more than {MOST_RUNS} runs: let gates tell by where=... which signals they take"
        )
    if size > MOST_BYTES:
        raise Exhausted(
            f"signal {name!r} would store {size} bytes for {runs} runs, at most {MOST_BYTES}: pass an artifact in place of "
            "a large payload"
        )


def _gates(definition: d.WorkflowDefinition, name: str) -> dict[str, d.SignalGate]:
    return {
        block.name: block.gate.signal
        for block in all_blocks(definition.body)
        if block.gate.signal.name == name
    }


def _around(definition: d.WorkflowDefinition, gates: dict[str, d.SignalGate]) -> list[str]:
    """Return the outermost blocks that are these gates, or have them inside."""
    return [
        root.name
        for root in definition.body.blocks
        if any(block.name in gates for block in all_blocks(d.Graph(blocks=[root])))
    ]


def _takes(
    definition: d.WorkflowDefinition, gates: Sequence[d.SignalGate], payload: str, run: Hearer
) -> bool:
    if not all(gate.where_cel for gate in gates):
        return True
    params = native_params(definition, run.params)
    return any(takes(gate, payload, params, expressions.evaluate) for gate in gates)


def _command(
    signal: SentSignal, sender: _Sender, hearer: Hearer, payload: str
) -> command_pb2.RunCommand:
    told = command_pb2.SignalRun(
        name=signal.name, payload_json=payload, roles=sorted(sender.roles), to_all=True
    )
    return command_pb2.RunCommand(
        run_id=hearer.run_id,
        requester=signal.requester,
        command_id=uuid.uuid4().hex,
        signal=told,
    )


def _answer(kept: SentSignal, name: str, digest: str, *, created: bool) -> r.SignalRunsResponse:
    """Return what a signal has reached.

    Raises:
        Conflict: Its key was used for another signal.
    """
    if (kept.name, kept.payload_digest) != (name, digest):
        raise Conflict(
            f"idempotency key {kept.key!r} was used for a signal {kept.name!r} with another name or payload; use a new key"
        )
    return r.SignalRunsResponse(
        runs=kept.runs,
        waiting=kept.waiting,
        left_out=[r.SignalLeftOut(**vars(each)) for each in kept.left_out],
        created=created,
    )
