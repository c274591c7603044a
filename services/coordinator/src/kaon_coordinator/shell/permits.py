"""The queue of permits in this process.

The store decides; the queue asks for few at a time and in the right order.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from kaon_coordinator.bounded_wait import came
from kaon_coordinator.engine.actions import TakePermits
from kaon_coordinator.engine.scopes.run_permits import STRATEGY, WORKFLOW, permit_keys
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell import requests
from kaon_coordinator.store.base import Fenced, Holder, PermitWish
from kaon_coordinator.store.protocols.permit_store import PermitStore
from kaon_coordinator.store.records import PermitAnswer
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.store.strategies import Refusal, Turn
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

# Holders that want the same keys are served in turn: only the first one is asked for.
_AT_ONCE = 50


@dataclass(frozen=True, kw_only=True)
class Grant:
    """A holder has received its permits."""

    partition: int
    holder: Holder
    # As in `TakePermits`.
    asked: int


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A holder will never receive its permits."""

    partition: int
    holder: Holder
    # As in `TakePermits`.
    asked: int
    refusal: Refusal


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A wish for permits, and the question that it answers."""

    wish: PermitWish
    # As in `TakePermits`.
    asked: int


class PermitQueue:
    """Asks for permits until they are granted: at once after a release, and periodically.

    Args:
        store: The store of permits, which decides.
        epoch_of: Returns the epoch under which this process owns a partition, or None.
        granted: Called with every grant.
        refused: Called with every refusal.
        fenced: Called with the partition and epoch that the store refused: another owner has claimed it.
        faulted: Called with the partition and run of a wish that the store refuses, the activity, and the exception.
        now_us: Returns microseconds since the epoch.
        again_seconds: The interval between attempts.
    """

    def __init__(
        self,
        *,
        store: StoreCalls[PermitStore],
        epoch_of: Callable[[int], int | None],
        granted: Callable[[Grant], None],
        refused: Callable[[Refused], None],
        fenced: Callable[[int, int], None],
        faulted: Callable[[int, str, str, BaseException], None],
        now_us: Callable[[], int],
        again_seconds: float = 1.0,
    ) -> None:
        self._store = store
        self._epoch_of = epoch_of
        self._granted = granted
        self._refused = refused
        self._fenced = fenced
        self._faulted = faulted
        self._now_us = now_us
        self._again_seconds = again_seconds
        # By partition and holder.
        self._waiting: dict[int, dict[Holder, _Wanted]] = defaultdict(dict)
        self._asked = asyncio.Event()

    def want(self, partition: int, state: RunState, action: TakePermits) -> None:
        """Add a wish of a step or run.

        A repeated wish keeps its place, and its answer goes to the newest question.
        """
        holder = Holder(run_id=state.run_id, path=action.path)
        known = self._waiting[partition].get(holder)
        wish = self._wish(state, action, holder, None if known is None else known.wish.since_us)
        self._waiting[partition][holder] = _Wanted(wish=wish, asked=action.asked)
        self._asked.set()

    def _wish(
        self, state: RunState, action: TakePermits, holder: Holder, since_us: int | None
    ) -> PermitWish:
        step = state.steps.get(action.path)
        turn = None if action.path else turn_of(state)
        priority = state.priority if step is None else requests.priority_of(state, step)
        return PermitWish(
            tenant=state.tenant,
            holder=holder,
            keys=frozenset(action.keys),
            bounds=_bounds(state, action),
            # A strategy goes by the order of submission.
            priority=0 if turn is not None else priority,
            since_us=since_us or self._since(state, action, turn),
            turn=turn,
        )

    def _since(self, state: RunState, action: TakePermits, turn: Turn | None) -> int:
        if action.path:
            return self._now_us()
        # Runs in order of submission, or of their reopening, regardless of their owner.
        return state.since_us if state.waits_since and turn is None else state.submit_us

    def forget(self, partition: int, holders: Iterable[Holder]) -> None:
        """Remove the wishes of these holders."""
        waiting = self._waiting.get(partition, {})
        for holder in holders:
            waiting.pop(holder, None)
            if not holder.path:
                for other in [each for each in waiting if each.run_id == holder.run_id]:
                    del waiting[other]

    def freed(self) -> None:
        """Note that permits were released, here or elsewhere."""
        if any(self._waiting.values()):
            self._asked.set()

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed."""
        self._waiting.pop(partition, None)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await came(self._asked, self._again_seconds if any(self._waiting.values()) else None)
            self._asked.clear()
            for partition in list(self._waiting):
                await self._ask(partition)

    async def _ask(self, partition: int) -> None:
        """Ask for the first wish of each kind, and continue with a kind as long as all are granted."""
        kinds = _kinds(self._waiting[partition].values())
        while kinds:
            first = [wanted for kind in kinds.values() for wanted in kind[:_AT_ONCE]]
            answers = await self._take(partition, [wanted.wish for wanted in first])
            if answers is None:
                return
            for wanted, granted in zip(first, answers, strict=True):
                if isinstance(granted, Refusal):
                    self._refuse(partition, wanted, granted)
                elif granted:
                    self._grant(partition, wanted)
                else:
                    kinds.pop(wanted.wish.keys, None)
            kinds = {keys: rest for keys, kind in kinds.items() if (rest := kind[_AT_ONCE:])}

    def _grant(self, partition: int, wanted: _Wanted) -> None:
        """Report a grant, unless the holder has asked again meanwhile: then the answer is repeated for the new question."""
        holder = wanted.wish.holder
        if self._waiting[partition].get(holder, wanted) is wanted:
            self._waiting[partition].pop(holder, None)
            self._granted(Grant(partition=partition, holder=holder, asked=wanted.asked))

    def _refuse(self, partition: int, wanted: _Wanted, refusal: Refusal) -> None:
        holder = wanted.wish.holder
        self.forget(partition, [holder])
        self._refused(
            Refused(partition=partition, holder=holder, asked=wanted.asked, refusal=refusal)
        )

    async def _take(self, partition: int, wishes: list[PermitWish]) -> list[PermitAnswer] | None:
        epoch = self._epoch_of(partition)
        if epoch is None:
            self.drop(partition)
            return None
        try:
            return await self._store.run(
                self._store.store.take_permits, partition, epoch, wishes, self._now_us()
            )
        except Fenced:
            # A partition that came back meanwhile, under a newer epoch, has asked again.
            if self._epoch_of(partition) == epoch:
                self.drop(partition)
                self._fenced(partition, epoch)
        except Unavailable as error:
            log.warning("permit request failed; retrying", partition=partition, reason=str(error))
        except Exception as error:
            return await self._take_apart(partition, wishes, error)
        return None

    async def _take_apart(
        self, partition: int, wishes: list[PermitWish], error: Exception
    ) -> list[PermitAnswer] | None:
        """Ask again in halves until the wish that the store refuses stands alone."""
        if len(wishes) == 1:
            holder = wishes[0].holder
            self.forget(partition, [holder])
            self._faulted(partition, holder.run_id, "its permits were taken", error)
            return [False]
        middle = len(wishes) // 2
        answers: list[PermitAnswer] = []
        for half in (wishes[:middle], wishes[middle:]):
            answered = await self._take(partition, half)
            if answered is None:
                return None
            answers += answered
        return answers


def turn_of(state: RunState) -> Turn | None:
    """Return the submit strategy to which a run is subject; None when it is parallel."""
    definition = state.workflow.definition
    if f"{STRATEGY}{definition.name}" not in permit_keys(state):
        return None
    return Turn(
        workflow=definition.name, strategy=definition.strategy, reopened=state.waits_since > 0
    )


def _bounds(state: RunState, action: TakePermits) -> Mapping[str, int]:
    """Return the bounds that the definition gives the wanted keys."""
    definition = state.workflow.definition
    given = {
        f"{WORKFLOW}{definition.name}": definition.max_active_runs,
        f"{STRATEGY}{definition.name}": 1,
    }
    return {key: given[key] for key in action.keys if key in given} | dict(action.bounds)


def _kinds(waiting: Iterable[_Wanted]) -> dict[frozenset[str], list[_Wanted]]:
    kinds: dict[frozenset[str], list[_Wanted]] = defaultdict(list)
    for wanted in sorted(waiting, key=lambda each: each.wish.rank):
        kinds[wanted.wish.keys].append(wanted)
    return kinds


def still_wanted(state: RunState, action: TakePermits) -> bool:
    """Tell whether a run or step still waits for the permits that it wanted earlier in the same turn."""
    if not action.path:
        return state.status in {t.PENDING, t.PAUSED}
    preparation = state.transient.preparing.get(action.path)
    return preparation is not None and preparation.awaits == "permits" and not state.ended
