"""Effects that a turn writes together with its events.

They are child runs, commands to other runs, memos, released permits, notices, and updates of datasets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kaon_coordinator.engine.actions import (
    Action,
    ReleasePermits,
    RememberStep,
    SubmitChild,
    TellRun,
)
from kaon_coordinator.engine.scopes.locks import may_hold
from kaon_coordinator.engine.scopes.run_permits import permit_keys
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.base import DatasetUpdate, Holder, Memo, Message, NewRun, Notice
from kaon_wire.partitioning import partition_of


@dataclass(kw_only=True)
class AtomicEffects:
    """Collects these effects, decision by decision."""

    new_runs: list[NewRun] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    memos: list[Memo] = field(default_factory=list)
    released: list[Holder] = field(default_factory=list)
    # Made from events, which make a turn durable by themselves.
    notices: list[Notice] = field(default_factory=list)
    dataset_updates: list[DatasetUpdate] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.new_runs or self.messages or self.memos or self.released)

    def take(self, state: RunState, action: Action, *, now_us: int, partitions: int) -> bool:
        """Collect an action of this kind and return True, or return False for other actions."""
        match action:
            case SubmitChild():
                self.new_runs.append(_child(state, action, now_us, partitions))
            case TellRun():
                command = action.command
                command.run_id = action.run_id
                message = Message(
                    run_id=action.run_id, command=command, now_us=now_us, sender=state.run_id
                )
                self.messages.append(message)
            case RememberStep():
                memo = Memo(
                    tenant=state.tenant,
                    key=action.key,
                    outputs=action.outputs,
                    run_id=state.run_id,
                    path=action.path,
                    time_us=now_us,
                )
                self.memos.append(memo)
            case ReleasePermits():
                if action.path or _wants_permits(state):
                    self.released.append(Holder(run_id=state.run_id, path=action.path))
            case _:
                return False
        return True

    def without(self, run_id: str) -> AtomicEffects:
        """Return a copy without the effects of one run."""
        return AtomicEffects(
            new_runs=[run for run in self.new_runs if run.begun_by != run_id],
            messages=[message for message in self.messages if message.sender != run_id],
            memos=[memo for memo in self.memos if memo.run_id != run_id],
            released=[holder for holder in self.released if holder.run_id != run_id],
            notices=[notice for notice in self.notices if notice.run_id != run_id],
            dataset_updates=[each for each in self.dataset_updates if each.run_id != run_id],
        )


def _wants_permits(state: RunState) -> bool:
    """Tell whether the run, or any of its steps or blocks, may hold permits."""
    return (
        bool(permit_keys(state))
        or state.workflow.takes_locks
        or any(may_hold(step) for step in state.steps.values())
    )


def _child(state: RunState, action: SubmitChild, now_us: int, partitions: int) -> NewRun:
    return NewRun(
        run_id=action.child_run_id,
        tenant=state.tenant,
        workflow=action.workflow,
        version=action.version,
        partition=partition_of(action.child_run_id, partitions),
        params=action.params,
        submitter=state.submitter,
        idempotency_key="",
        now_us=now_us,
        priority=action.priority,
        parent_run_id="" if action.detached else state.run_id,
        parent_path="" if action.detached else action.path,
        begun_by=state.run_id,
        depth=action.depth,
        origin=f"run:{state.run_id}",
        scheduled_us=state.scheduled_us,
        previous=action.previous,
    )
