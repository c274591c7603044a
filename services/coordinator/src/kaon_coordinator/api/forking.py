"""What a fork resets, and whether the version that it goes on with fits what it keeps."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kaon_coordinator import replay
from kaon_coordinator.api import places
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.commands.new_version import Misfit, study
from kaon_coordinator.engine.commands.retry import failed_nodes
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.engine.scopes.readiness import had_turn
from kaon_coordinator.engine.scopes.scopes import nodes_at
from kaon_coordinator.engine.state.state import Node, RunState
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.shell.fork_states import PastStore, definitions
from kaon_coordinator.store.base import RunRecord, WorkflowRecord
from kaon_wire.texts import clauses

# Number of misfits that an error lists.
_LISTED = 5


def checked_reset(
    store: PastStore,
    run: RunRecord,
    seq: int,
    reset: tuple[str, ...],
    workflow: WorkflowRecord,
    failed: bool,
) -> tuple[str, ...]:
    """Return the paths to reset in a fork: they must exist in the state after that event. Blocks.

    Raises:
        NotFound: The workflow has no such name.
        FailedPrecondition: A place does not exist yet; the version does not fit what is kept; or nothing would run.
    """
    if not (reset or failed or workflow.version != run.version):
        return ()
    state: RunState = replay.replay(store, run, seq, definitions(store))
    paths = [path if nodes_at(state, path) else _named(state, path, seq) for path in reset]
    ended, fork = state.ended, fork_state(state, run.run_id)
    broken = failed_nodes(fork) if failed else []
    into = compile_workflow(workflow.definition, workflow.version)
    chosen = [*broken, *(node for path in paths for node in nodes_at(fork, path) if had_turn(node))]
    if workflow.version != run.version:
        _check_fits(fork, into, chosen)
    if failed and not chosen and not set(into.chains) - set(state.workflow.chains) and ended:
        raise FailedPrecondition(
            f"nothing has failed in run {run.run_id}, and version {workflow.version} adds nothing to it: name what is to "
            "run again"
        )
    return tuple(dict.fromkeys(paths))


def _check_fits(fork: RunState, into: CompiledWorkflow, chosen: Sequence[Node]) -> None:
    misfits = study(fork, into, chosen).misfits
    if not misfits:
        return
    told = clauses([f"{each.path} {each.reason}" for each in misfits], _LISTED)
    raise FailedPrecondition(
        f"version {into.version} does not fit what run {fork.run_id} has done: {told}. To run this again, too: "
        f"kaon fork {fork.run_id} {' '.join(_to_reset(misfits))} --file FILE"
    )


def _to_reset(misfits: Sequence[Misfit]) -> list[str]:
    paths = [each.path for each in misfits]
    return [f"--reset {shlex.quote(path)}" for path in dict.fromkeys(paths[:_LISTED])]


def _named(state: RunState, written: str, seq: int) -> str:
    listed, where = places.of_state(state), f"run {state.run_id} after event {seq}"
    if found := places.named(listed, written):
        return places.the_one(found, written, where)
    raise places.missing(state.workflow, listed, written, where)
