"""Messages to a pool's matcher or a runner, built from the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kaon_coordinator.engine.actions import (
    EndChain,
    GrantLease,
    RevokeLease,
    RevokeReason,
    SignalHolder,
)
from kaon_coordinator.engine.definition.compiled import CompiledGraph
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.state.state import RunState, ScopeState, StepState
from kaon_coordinator.engine.steps.succession import chain_after, leads
from kaon_telemetry.tracing import run_span, step_context
from kaon_wire.errors import InvalidValue
from kaon_wire.packing import fill
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

DEFAULT_POOL = "default"
# Bytes of one event or request: brokers refuse records of more than 1 MiB by default.
RECORD_BYTES = 1_000_000
# Bytes of a request up to which it carries the steps that may follow.
CHAIN_BYTES = 100_000
# Runners have one such label for each step type that they can execute.
STEP_TYPE_LABEL = "step-type."

_HIGHEST = 2**31 - 1

_REASONS = {
    RevokeReason.CANCELLED: runner_pb2.REVOKE_REASON_CANCELLED,
    RevokeReason.SCOPE_OVER: runner_pb2.REVOKE_REASON_CANCELLED,
    RevokeReason.TIMED_OUT: runner_pb2.REVOKE_REASON_TIMED_OUT,
    RevokeReason.STALE_LEASE: runner_pb2.REVOKE_REASON_STALE_LEASE,
}


def pool_of(step: StepState) -> str:
    """Return the pool of a step."""
    return step.block.step.pool or DEFAULT_POOL


def priority_of(state: RunState, step: StepState) -> int:
    """Return the sum of the step's and its run's priority, bounded to the range of the field."""
    return max(-_HIGHEST, min(step.block.step.priority + state.priority, _HIGHEST))


def pool_at(state: RunState, path: str) -> str:
    """Return the pool of the step at a path, whether it exists or a reset has dropped it."""
    step = state.steps.get(path)
    if step is not None:
        return pool_of(step)
    name = path.rsplit("/", 1)[-1]
    graph = state.workflow.root
    for around in state.workflow.chains[name][:-1]:
        graph = next(inner for inner in graph.inner[around].values() if _holds(inner, name))
    return graph.blocks[name].step.pool or DEFAULT_POOL


def _holds(graph: CompiledGraph, name: str) -> bool:
    return name in graph.blocks or any(
        _holds(inner, name) for graphs in graph.inner.values() for inner in graphs.values()
    )


def key_of(run_id: str, issue: StepIssue | StepState) -> step_pb2.StepKey:
    """Return the key of an issue of a step, or of its newest one."""
    return step_pb2.StepKey(
        run_id=run_id, path=issue.path, attempt=issue.attempt, generation=issue.generation
    )


def step_request(
    state: RunState, step: StepState, *, partition: int, epoch: int
) -> step_pb2.StepRequest:
    """Build the request for a READY step, with everything that a runner needs, and what may follow it."""
    request = step_pb2.StepRequest()
    _fill(request, state, step, step.issue, step.inputs, partition=partition, epoch=epoch)
    request.ready_time_us = step.ready_us
    size = request.ByteSize()
    if size > RECORD_BYTES:
        raise InvalidValue(
            f"the request of {step.path} has {size} bytes; a record of a topic has at most {RECORD_BYTES}"
        )
    if leads(step):
        room = CHAIN_BYTES - size
        _offer(request, state, step, room, partition=partition, epoch=epoch)
    return request


def _offer(
    message: step_pb2.StepRequest | step_pb2.StepHeld,
    state: RunState,
    step: StepState,
    room: int,
    *,
    partition: int,
    epoch: int,
) -> None:
    """Offer the steps that may follow, as many as fit, as the matcher passes them on to a runner.

    Each is built where it stays, for a copy of it costs as much again.
    """
    is_held = isinstance(message, step_pb2.StepHeld)
    carrier = step_pb2.ChainExtension() if is_held else step_pb2.StepRequest()
    successors = carrier.successors
    needs, alike = _shared(state, step).needs, True
    for follower in chain_after(state, step):
        issue = StepIssue(path=follower.step.path, attempt=1, generation=step.generation)
        successor = successors.add()
        _fill(
            successor.request,
            state,
            follower.step,
            issue,
            follower.known,
            partition=partition,
            epoch=epoch,
        )
        for name, source in follower.later.items():
            output = successor.inputs[name]
            output.step, output.output = source.member, source.chosen.reference.output
            output.keys_json.extend(source.chosen.keys)
        room -= successor.ByteSize()
        if room < 0:
            del successors[-1]
            break
        alike = alike and _shared(state, follower.step).needs == needs
    if successors:
        message.chain, message.chain_alike = carrier.SerializeToString(), alike


def _fill(
    request: step_pb2.StepRequest,
    state: RunState,
    step: StepState,
    issue: StepIssue,
    inputs: Mapping[str, str],
    *,
    partition: int,
    epoch: int,
) -> None:
    """Fill the request for one issue of a step."""
    request.CopyFrom(_shared(state, step).request)
    key, spec = request.key, request.spec
    key.run_id, key.path = state.run_id, issue.path
    key.attempt, key.generation = issue.attempt, issue.generation
    request.partition, request.epoch = partition, epoch
    if state.priority:
        request.priority = priority_of(state, step)
    spec.tenant = state.tenant
    fill(spec.inputs_json, inputs)
    spec.iteration = _iteration(step.scope)
    spec.checkpoint_json = step.checkpoint_json
    spec.trace_parent = _trace_parent(state, issue)


class _Shared(NamedTuple):
    """What the requests of all instances of a declared step share."""

    block: definition_pb2.Block
    request: step_pb2.StepRequest
    # Equal for steps that ask for the same: the serialized resources, and the labels.
    needs: tuple[bytes, tuple[str, ...]]


def _shared(state: RunState, step: StepState) -> _Shared:
    kept = state.workflow.kept
    known: _Shared | None = kept.get(step.block.name)
    # A run that got a new version of its workflow may still have blocks of the old one.
    if known is None or known.block is not step.block:
        request = _make_shared(state, step)
        resources = request.resources.SerializeToString(deterministic=True)
        known = _Shared(step.block, request, (resources, tuple(request.labels)))
        kept[step.block.name] = known
    return known


def _make_shared(state: RunState, step: StepState) -> step_pb2.StepRequest:
    declared = step.block.step
    definition = state.workflow.definition
    return step_pb2.StepRequest(
        pool=pool_of(step),
        priority=max(-_HIGHEST, min(declared.priority, _HIGHEST)),
        resources=declared.resources,
        labels=[*declared.labels, f"{STEP_TYPE_LABEL}{declared.type}"],
        spec=step_pb2.StepSpec(
            type=declared.type,
            workflow=definition.name,
            workflow_version=state.workflow.version,
            outputs=declared.outputs,
            output_contents=declared.output_contents,
            config_json=declared.config_json,
            timeout_ms=declared.timeout_ms,
            code_bundle=definition.code_bundle,
            isolation=declared.isolation,
            exclusive=declared.exclusive,
            serves=declared.serves,
            requirements_file=declared.requirements_file,
        ),
    )


def _trace_parent(state: RunState, step: StepIssue) -> str:
    """Return the trace context of this issue of the step."""
    run = run_span(state.run_id, state.trace_parent)
    return step_context(run, state.run_id, step.path, step.generation)


def held_step(state: RunState, step: StepState) -> step_pb2.StepHeld:
    """Describe a running step for a pool's new matcher."""
    return step_pb2.StepHeld(
        key=key_of(state.run_id, step),
        incarnation=step.incarnation,
        resources=step.block.step.resources,
        tenant=state.tenant,
        priority=priority_of(state, step),
        leads=leads(step),
    )


def held_with_further(
    state: RunState, step: StepState, *, partition: int, epoch: int
) -> step_pb2.StepHeld:
    """Describe a step that its runner has begun by itself, and offer the steps that the runner may start after it."""
    held = held_step(state, step)
    _offer(held, state, step, CHAIN_BYTES, partition=partition, epoch=epoch)
    return held


def revoke(
    run_id: str, action: RevokeLease, *, partition: int, epoch: int
) -> runner_pb2.RunnerCommand:
    """Build the command that revokes a lease."""
    key = key_of(run_id, action.issue)
    return runner_pb2.RunnerCommand(
        revoke=runner_pb2.RevokeStep(
            key=key, epoch=epoch, partition=partition, reason=_REASONS[action.reason]
        )
    )


def end_chain(
    run_id: str, action: EndChain, *, partition: int, epoch: int
) -> runner_pb2.RunnerCommand:
    """Build the command that keeps a runner from starting steps by succession after one that it holds."""
    return runner_pb2.RunnerCommand(
        end_succession=runner_pb2.EndSuccession(key=key_of(run_id, action.issue))
    )


def revoke_stale(key: step_pb2.StepKey, *, partition: int, epoch: int) -> runner_pb2.RunnerCommand:
    """Build the command that answers a report for a step that no runner should hold.

    The report's token could not be checked, so the command counts only for the lease that has it: else whoever reports a later
    generation than there is would stop it at its holder when the run goes on.
    """
    return runner_pb2.RunnerCommand(
        revoke=runner_pb2.RevokeStep(
            key=key,
            epoch=epoch,
            partition=partition,
            reason=runner_pb2.REVOKE_REASON_STALE_LEASE,
            unproven=True,
        )
    )


def grant(
    run_id: str, action: GrantLease, *, partition: int, epoch: int
) -> runner_pb2.RunnerCommand:
    """Build the command that lets the holder of an exclusive step begin."""
    key = key_of(run_id, action.issue)
    return runner_pb2.RunnerCommand(
        grant=runner_pb2.GrantStep(key=key, epoch=epoch, partition=partition)
    )


def signal(
    run_id: str, action: SignalHolder, *, partition: int, epoch: int
) -> runner_pb2.RunnerCommand:
    """Build the command that delivers a signal to a running step."""
    key = key_of(run_id, action.issue)
    return runner_pb2.RunnerCommand(
        signal=runner_pb2.SignalStep(
            key=key,
            epoch=epoch,
            partition=partition,
            name=action.name,
            payload_json=action.payload_json,
            signal_seq=action.seq,
        )
    )


def _iteration(scope: ScopeState) -> int:
    around: ScopeState | None = scope
    while around is not None and around.parent is not None:
        if around.parent.kind == "repeat":
            return around.index
        around = around.parent.scope
    return 0
