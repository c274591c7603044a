"""Checks that nobody gets past a gate who may not answer it: by a mark, a skip or a fork."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kaon_coordinator import replay
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.scopes.scopes import nodes_at
from kaon_coordinator.engine.state import guards
from kaon_coordinator.engine.state.guards import Answerer
from kaon_coordinator.engine.state.resetting import plan
from kaon_coordinator.problems import Denied
from kaon_coordinator.shell.fork_states import PastStore, definitions
from kaon_coordinator.store.base import RunRecord, WorkflowRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.definitions.targets import left_out
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def answerer() -> Answerer:
    """Return the caller, as gates see it."""
    caller = principal.current()
    return Answerer(name=caller.name, roles=caller.roles)


def check_settling(
    store: PastStore, run: RunRecord, path: str, caller: Answerer, *, inside: bool
) -> None:
    """Check that the caller may settle what is at a path by hand. Blocks.

    Args:
        store: The store.
        run: The run.
        path: The path of a step, block or cell.
        caller: Who asks.
        inside: True: gates there and inside of it are settled with it; else they are only stopped.

    Raises:
        Denied: There is a gate there, or one before it that has not been passed, which the caller may not answer.
    """
    workflow = definitions(store)(run.tenant, run.workflow, run.version)
    called = _called(store, run.tenant)
    if not any(guards.guarded_in(workflow.definition.body.blocks, called)):
        return
    state = replay.stored(store.load_run(run.run_id), workflow)
    targets = nodes_at(state, path)
    gates = [*guards.ahead_of(targets, called)]
    if inside:
        gates += guards.settled_with(targets, called)
    _check(gates, caller, run.submitter, f"{path} leads past")


def check_fork(
    store: PastStore,
    run: RunRecord,
    seq: int,
    reset: Sequence[str],
    into: WorkflowRecord,
    params: Mapping[str, str],
    caller: Answerer,
) -> None:
    """Check that a fork does not get the caller past a gate. Blocks.

    An answer holds for the parameters for which it was given, and for a submitter who has not given it. A gate that is not
    answered stays in the version of the fork, before all that came after it.

    Raises:
        Denied: There is a gate that the caller may not answer.
    """
    compiled, called = definitions(store), _called(store, run.tenant)
    old = compiled(run.tenant, run.workflow, run.version)
    if not any(guards.guarded_in(old.definition.body.blocks, called)):
        return
    if into.version != run.version:
        new = compile_workflow(into.definition, into.version)
        gates = guards.left_behind(old, new, called)
        _check(gates, caller, caller.name, f"version {into.version} leads past")
    state = replay.replay(store, run, seq, compiled)
    again = plan(node for path in reset for node in nodes_at(state, path)).nodes
    _check_left_out(into.definition, state.left_out, called, caller)
    changed = dict(params) != dict(run.params)
    for block, by in guards.kept_answers(state, again, called):
        own = block.gate.approval.not_submitter and by == caller.name
        if changed or own:
            why = "other parameters" if changed else "a run of your own, after your own answer,"
            _check([block], caller, caller.name, f"{why} would lead past")


async def check_targets_of(
    threads: StoreCalls[PastStore], workflow: WorkflowRecord, targets: run_pb2.RunTargets
) -> None:
    """Check the targets of a run of the present caller; see `check_targets`."""
    await threads.study(check_targets, threads.store, workflow, targets, answerer())


def check_targets(
    store: PastStore, workflow: WorkflowRecord, targets: run_pb2.RunTargets, caller: Answerer
) -> None:
    """Check that a run of a part of a workflow does not leave out a gate that the caller may not answer. Blocks.

    Raises:
        Denied: There is such a gate.
    """
    skipped = left_out(workflow.definition, targets)
    _check_left_out(workflow.definition, skipped, _called(store, workflow.tenant), caller)


def _check_left_out(
    definition: d.WorkflowDefinition,
    skipped: Collection[str],
    called: guards.Called,
    caller: Answerer,
) -> None:
    blocks = [block for block in all_blocks(definition.body) if block.name in skipped]
    gates = guards.guarded_in(blocks, called)
    _check(gates, caller, caller.name, "a run of these targets leaves out")


def _called(store: PastStore, tenant: str) -> guards.Called:
    def called(block: d.SubWorkflow) -> d.WorkflowDefinition | None:
        try:
            return store.get_workflow(tenant, block.workflow, block.version).definition
        except NotFound:
            return None

    return called


def _check(gates: Iterable[d.Block], caller: Answerer, submitter: str, what: str) -> None:
    for block in gates:
        if problem := caller.lacks(block.gate, submitter):
            have = ", ".join(sorted(caller.roles)) or "no role"
            raise Denied(f"{what} the gate {block.name}, which {problem}; you have {have}")
