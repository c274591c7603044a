"""Sub-workflows: blocks whose work is a run of another workflow, which they wait for or only begin."""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.engine import memo_keys
from kaon_coordinator.engine.actions import (
    LookUpMemo,
    PrepareChild,
    RememberStep,
    SubmitChild,
    TellRun,
)
from kaon_coordinator.engine.decision import BlockKind, Decision, user_error
from kaon_coordinator.engine.kinds.other_runs import declared, mismatch, taken_from
from kaon_coordinator.engine.messages import ChildEnded, ChildPrepared, MemoFound, MemoMissed
from kaon_coordinator.engine.scopes.readiness import ending, may_start
from kaon_coordinator.engine.scopes.scopes import end_block, stop_error
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import BlockState, Node, Preparation
from kaon_wire import canonical
from kaon_wire.definitions.kinds import RUN_ID
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2

# Error type of a block whose child run did not succeed.
CHILD_FAILED = "ChildFailed"
# The policy that says which workflow the child is a run of.
WORKFLOW = "sub_workflow.workflow"


def _start(decision: Decision, block: BlockState) -> None:
    """Request the preparation of the child's workflow and parameters."""
    state, limits = decision.state, decision.context.limits
    if state.depth >= limits.run_depth:
        raise KaonError(
            f"sub-workflow nesting depth {state.depth} reaches the limit run_depth={limits.run_depth}"
        )
    spec = block.block.sub_workflow
    params = {
        name: resolve(state, block.scope, binding, decision.context.evaluate)
        for name, binding in sorted(spec.params.items())
    }
    passed = dict(state.params) if spec.pass_params else {}
    state.transient.preparing[block.path] = Preparation(
        inputs=params, awaits="child", asked=state.seq
    )
    decision.act(
        PrepareChild(
            path=block.path,
            asked=state.seq,
            workflow=spec.workflow,
            version=spec.version,
            params=params,
            passed=passed,
            continues=block.continues,
            bound=WORKFLOW in block.bound,
        )
    )


def prepared(decision: Decision, message: ChildPrepared) -> None:
    """Submit the prepared run, ask an earlier one to continue, or look up a memo first."""
    state = decision.state
    block = state.blocks.get(message.path)
    preparation = state.transient.preparing.get(message.path)
    if block is None or preparation is None or preparation.asked != message.asked:
        return
    del state.transient.preparing[message.path]
    if not may_start(decision, block):
        return
    memo = block.block.sub_workflow.memo
    try:
        key = memo_keys.of_run(block, message) if memo.enabled else ""
    except KaonError as error:
        text = f"{block.path}: {error}"
        end_block(decision, block, t.FAILED, user_error("BindingError", text))
        return
    if not key or message.child_run_id == block.continues:
        _begin(decision, block, message, key)
        return
    state.transient.preparing[block.path] = Preparation(
        inputs={}, awaits="memo", asked=state.seq, memo_key=key, child=message
    )
    decision.act(LookUpMemo(path=block.path, asked=state.seq, key=key, max_age_ms=memo.max_age_ms))


def memo_found(decision: Decision, message: MemoFound) -> None:
    """Take the outputs of an equal run, if they are those that the block declares."""
    found = _looked_up(decision, message)
    if found is None:
        return
    block, child = found
    if mismatch(block.block.sub_workflow, message.outputs):
        _begin(decision, block, child, message.key)
        return
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    source = history_pb2.MemoSource(run_id=message.run_id, path=message.source_path)
    end_block(
        decision,
        block,
        t.SUCCEEDED,
        outputs=declared(block.block.sub_workflow, message.outputs),
        memo=source,
    )


def memo_missed(decision: Decision, message: MemoMissed) -> None:
    """Submit the prepared run: there are no outputs of an equal one."""
    found = _looked_up(decision, message)
    if found is not None:
        _begin(decision, *found, message.key)


def _looked_up(
    decision: Decision, message: MemoFound | MemoMissed
) -> tuple[BlockState, ChildPrepared] | None:
    """Return the block that awaits this answer, and its prepared run; None when it no longer does, or may not start."""
    state = decision.state
    block = state.blocks[message.path]
    preparation = state.transient.preparing.get(message.path)
    if preparation is None or preparation.child is None:
        return None
    if (preparation.asked, preparation.memo_key) != (message.asked, message.key):
        return None
    del state.transient.preparing[message.path]
    return (block, preparation.child) if may_start(decision, block) else None


def _begin(decision: Decision, block: BlockState, message: ChildPrepared, memo_key: str) -> None:
    continued = message.child_run_id == block.continues
    detached = block.block.sub_workflow.detached
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    decision.emit(
        child_run_started=history_pb2.ChildRunStarted(
            path=block.path,
            child_run_id=message.child_run_id,
            workflow=message.workflow,
            version=message.version,
            continued=continued,
            memo_key=memo_key,
            detached=detached,
        )
    )
    if continued:
        watch_node(decision, block)
        _go_on(decision, block)
        return
    _submit(decision, block, message)
    if detached:
        run_id = canonical.dumps(message.child_run_id)
        end_block(decision, block, t.SUCCEEDED, outputs={RUN_ID: run_id})
    else:
        watch_node(decision, block)


def _go_on(decision: Decision, block: BlockState) -> None:
    """Ask the child run to continue where it failed or was stopped, with the current priority of this run."""
    _retry(decision, block)
    priority = command_pb2.SetRunPriority(priority=decision.state.priority)
    tell(decision, block, command_pb2.RunCommand(set_priority=priority, reason="as its parent's"))


def _retry(decision: Decision, block: BlockState) -> None:
    """Send a retry to the child run. Idempotent."""
    reason = f"its parent {decision.state.run_id} was retried"
    retry = command_pb2.RetryRun(asked=block.asked)
    tell(decision, block, command_pb2.RunCommand(retry=retry, reason=reason))


def _submit(decision: Decision, block: BlockState, message: ChildPrepared) -> None:
    state = decision.state
    decision.act(
        SubmitChild(
            path=message.path,
            child_run_id=message.child_run_id,
            workflow=message.workflow,
            version=message.version,
            params=message.params,
            priority=state.priority,
            depth=state.depth + 1,
            detached=block.block.sub_workflow.detached,
            previous=message.previous,
        )
    )


def ended(decision: Decision, message: ChildEnded) -> None:
    """Handle the end of the child run."""
    block = decision.state.blocks.get(message.path)
    if block is None or block.status != t.RUNNING or block.child_run_id != message.child_run_id:
        return
    if message.asked != block.asked and _is_wanted_still(decision, block, message):
        # The child ended before the retry reached it, or its owner is of an older version that does not name
        # the retry.
        _retry(decision, block)
        return
    if message.status == t.SUCCEEDED:
        _succeeded(decision, block, message)
    elif block.stop != t.NONE:
        end_block(decision, block, block.stop, stop_error(block.path, block.stop))
    else:
        status = (
            t.CANCELLED
            if message.status == t.CANCELLED and _stopped_by_us(decision, block)
            else t.FAILED
        )
        end_block(
            decision, block, status, None if status == t.CANCELLED else _child_error(block, message)
        )


def _is_wanted_still(decision: Decision, block: BlockState, message: ChildEnded) -> bool:
    """Tell whether an ended child run that may have missed the last retry is still to continue."""
    return (
        message.status != t.SUCCEEDED
        and block.stop == t.NONE
        and not _stopped_by_us(decision, block)
    )


def _succeeded(decision: Decision, block: BlockState, message: ChildEnded) -> None:
    outputs = taken_from(
        decision, block, block.block.sub_workflow, message.outputs, message.child_run_id
    )
    if outputs is None:
        return
    if block.memo_key:
        decision.act(RememberStep(path=block.path, key=block.memo_key, outputs=outputs))
    end_block(decision, block, t.SUCCEEDED, outputs=outputs)


def _stopped_by_us(decision: Decision, block: BlockState) -> bool:
    return ending(decision, block.scope)


def _child_error(block: BlockState, message: ChildEnded) -> step_pb2.StepError:
    told = f"it was {t.short(message.status)}"  # type: ignore[arg-type]
    if message.error is not None:
        told = message.error.message
    return user_error(CHILD_FAILED, f"{block.path}: run {message.child_run_id}: {told}")


def to_continue(nodes: Iterable[Node]) -> list[str]:
    """Return the paths of the blocks among `nodes` whose child run failed or was stopped and can therefore continue."""
    return [node.path for node in nodes if isinstance(node, BlockState) and _can_go_on(node)]


def _can_go_on(block: BlockState) -> bool:
    if block.status == t.FAILED and block.child_run_id:
        return block.error is not None and block.error.type == CHILD_FAILED
    return bool(block.continues or block.child_run_id) and block.status != t.SUCCEEDED


def _abandon(decision: Decision, block: BlockState) -> None:
    """Stop the child run of a block whose run ends by a fault."""
    cancel = command_pb2.RequestRunCancel(
        reason=f"its parent {decision.state.run_id} stops",
        requester="kaon",
        force=decision.state.force_stop,
    )
    tell(decision, block, command_pb2.RunCommand(run_id=block.child_run_id, cancel=cancel))


def _stop(decision: Decision, block: BlockState, status: t.Status) -> None:
    """Stop the child run; its end ends the block, regardless of the status given."""
    _abandon(decision, block)


def tell(decision: Decision, block: BlockState, command: command_pb2.RunCommand) -> None:
    """Put a command into the child's inbox."""
    command.requester = command.requester or f"run:{decision.state.run_id}"
    decision.act(TellRun(run_id=block.child_run_id, command=command))


def tell_children(decision: Decision, command: command_pb2.RunCommand) -> None:
    """Put a command into the inbox of every active child run."""
    for block in decision.state.blocks.values():
        if block.kind == "sub_workflow" and block.status == t.RUNNING:
            tell(decision, block, command)


KIND = BlockKind(start=_start, stop=_stop, abandon=_abandon)
