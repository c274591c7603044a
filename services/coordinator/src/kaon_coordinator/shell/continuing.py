"""Decides whether the former child run of a sub-workflow block can continue, or a new one must begin."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.engine.actions import PrepareChild
from kaon_coordinator.engine.commands.retry import any_failed
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.base import RunRecord, WorkflowRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_wire.errors import NotFound


def hindrance(
    store: RunStore,
    state: RunState,
    action: PrepareChild,
    wanted: WorkflowRecord,
    params: Mapping[str, str],
) -> str:
    """Return why the run `action.continues` cannot continue in place of a new one; empty when it can.

    Args:
        store: The store of runs.
        state: The parent's state.
        action: The parent's question.
        wanted: The workflow of a new child run.
        params: The parameters of a new child run, without those that are computed.
    """
    try:
        run = store.get_run(state.tenant, action.continues)
        # Before reading the run: its row then contains everything applied by that time.
        stopped = _is_being_cancelled(store, run)
        run = store.get_run(state.tenant, action.continues)
    except NotFound:
        return "it is not there any more"
    if (run.parent_run_id, run.parent_path) != (state.run_id, action.path):
        return f"it belongs to {run.parent_path} of run {run.parent_run_id}"
    if (run.workflow, run.version) != (wanted.name, wanted.version):
        return f"it is one of workflow {run.workflow}, version {run.version}"
    if any(run.params.get(name) != text for name, text in params.items()):
        return "its parameters are others"
    if not run.row.start_us:
        return "it never began"
    if stopped or run.row.status == t.CANCELLING:
        return "it is being cancelled"
    if run.row.status == t.FAILED and not _has_failures(store, run):
        return "nothing in it has failed that could run again"
    return ""


def _is_being_cancelled(store: RunStore, run: RunRecord) -> bool:
    commands = store.waiting_commands(run.partition, run.run_id)
    return any(command.HasField("cancel") and not command.cancel.path for command in commands)


def _has_failures(store: RunStore, run: RunRecord) -> bool:
    return any_failed(store.list_steps(run.run_id)) or any_failed(store.list_blocks(run.run_id))
