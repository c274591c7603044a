"""Submit strategies over runs in memory; the rules are those of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import Message
from kaon_coordinator.store.strategies import (
    NAMES,
    Contender,
    Field,
    Refusal,
    Standing,
    Turn,
    Wait,
    cancel_reason,
    circle,
    deadlock,
    standing,
    to_cancel,
)
from kaonapi.run.v1 import command_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

if TYPE_CHECKING:
    from .memory_store import Kept, MemoryStore


class MemoryStrategies:
    """What strategies say about the runs of a store.

    Args:
        store: the runs and inboxes.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def standing(self, tenant: str, run_id: str, turn: Turn, holders: Iterable[str]) -> Standing:
        """What the strategy says about a run."""
        return standing(
            _contender(self._store.runs[run_id]),
            turn,
            self._field(tenant, run_id, turn, holders),
        )

    def refusal_in_circle(self, run_id: str, turn: Turn, blocking: str) -> Refusal | None:
        """Why a run may not wait for one that waits for it, or for a run around it."""
        around = {each for each, _ in self.places(run_id)}
        if not around:
            return None
        found = circle(blocking, {run_id, *around}, self._waits_for)
        me = _contender(self._store.runs[run_id])
        children = [self._store.runs[each] for each in found]
        later = any(
            each.record.parent_run_id
            and each.record.row.status == t.PENDING
            and _contender(each).place > me.place
            for each in children
        )
        return deadlock(turn, found) if found and not later else None

    def _waits_for(self, run_id: str) -> list[str]:
        kept = self._store.runs[run_id]
        if kept.ended:
            return []
        if kept.record.row.status != t.PENDING:
            others = self._store.runs.items()
            return sorted(
                name
                for name, other in others
                if other.record.parent_run_id == run_id and not other.ended
            )
        record = kept.record
        definition = self._store.get_workflow(record.tenant, record.workflow, record.version)
        strategy = definition.definition.strategy
        if strategy not in NAMES:
            return []
        turn = Turn(workflow=record.workflow, strategy=strategy, reopened=record.row.start_us > 0)
        found = self._store.standing(record.tenant, run_id, turn)
        return [found.run_id] if isinstance(found, Wait) else []

    def give_way(
        self, tenant: str, run_id: str, turn: Turn, holders: Iterable[str], now_us: int
    ) -> None:
        """Asks earlier runs to stop that have not been asked yet."""
        me, field = (
            _contender(self._store.runs[run_id]),
            self._field(tenant, run_id, turn, holders),
        )
        for other in to_cancel(me, turn, field):
            inbox = self._store.waiting_commands(self._store.runs[other].record.partition, other)
            if any(command.HasField("cancel") and not command.cancel.path for command in inbox):
                continue
            cancel = command_pb2.RequestRunCancel(reason=cancel_reason(me, turn), requester="kaon")
            command = command_pb2.RunCommand(run_id=other, cancel=cancel, requester="kaon")
            message = Message(run_id=other, command=command, now_us=now_us, sender=run_id)
            self._store.tell_now([message])

    def _field(self, tenant: str, run_id: str, turn: Turn, holders: Iterable[str]) -> Field:
        me = _contender(self._store.runs[run_id])
        rivals = [
            kept
            for kept in self._store.runs.values()
            if (kept.record.tenant, kept.record.workflow) == (tenant, turn.workflow)
            and kept.record.row.run_id != run_id
        ]
        open_ = sorted(
            (_contender(kept) for kept in rivals if not kept.ended), key=lambda each: each.place
        )
        counting = (t.SUCCEEDED, t.FAILED, t.TIMED_OUT)
        ended = [each for each in map(_contender, rivals) if each.status in counting]
        earlier = [each for each in ended if each.place < me.place]
        strict = turn.strategy == d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL
        return Field(
            begun=tuple(each for each in open_ if each.start_us),
            first=open_[0] if open_ else None,
            last=open_[-1] if open_ else None,
            holder=next((each for each in sorted(holders) if each != run_id), ""),
            ended_before=max(earlier, key=lambda each: each.place, default=None)
            if strict
            else None,
            ancestor=next((each for each, _ in self.places(run_id) if self._is_of(each, turn)), ""),
        )

    def places(self, run_id: str) -> Iterator[tuple[str, str]]:
        """The ancestors of a run, each with the block in which it runs."""
        while run_id in self._store.runs and self._store.runs[run_id].record.parent_run_id:
            record = self._store.runs[run_id].record
            yield record.parent_run_id, record.parent_path
            run_id = record.parent_run_id

    def _is_of(self, run_id: str, turn: Turn) -> bool:
        return self._store.runs[run_id].record.workflow == turn.workflow


def _contender(kept: Kept) -> Contender:
    row = kept.record.row
    return Contender(
        run_id=row.run_id,
        create_us=kept.record.create_us,
        status=row.status,
        start_us=row.start_us,
    )
