"""Watches for the runs that gates of this process wait for.

The store decides; a run that succeeds elsewhere is seen at the next look.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from kaon_coordinator.bounded_wait import came
from kaon_coordinator.engine.actions import AwaitRun
from kaon_coordinator.engine.messages import Message, RunFound, RunMissing
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire import canonical
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

# An end may become visible so much later than ends that came after it: clocks differ, and transactions take
# time.
OVERLAP_US = 60_000_000
# Gates for which the store is asked in one call; the others have their turn at the next look.
_AT_ONCE = 200

# The run and the path of a gate.
_Gate: TypeAlias = tuple[str, str]


@dataclass(kw_only=True)
class _Watched:
    """A gate that waits, and from when on its run has not been looked for."""

    state: RunState
    action: AwaitRun
    since_us: int

    def is_open(self) -> bool:
        """Tell whether the gate still waits for this run."""
        block = self.state.gates.get(self.action.path)
        return block is not None and block.awaited == self.action.awaited and not self.state.ended


class RunWatch:
    """Looks for awaited runs: at once, and periodically while they have not succeeded.

    Args:
        store: The store of runs.
        answered: Called with the partition, run and answer of every gate whose run was found.
        faulted: Called with the partition and run of a gate whose question the store refuses, the activity, and the exception.
        now_us: Returns microseconds since the epoch.
        again_seconds: The interval between looks.
    """

    def __init__(
        self,
        *,
        store: StoreCalls[RunStore],
        answered: Callable[[int, str, Message], None],
        faulted: Callable[[int, str, str, BaseException], None],
        now_us: Callable[[], int],
        again_seconds: float = 1.0,
    ) -> None:
        self._store = store
        self._answered = answered
        self._faulted = faulted
        self._now_us = now_us
        self._again_seconds = again_seconds
        # By partition; the gates that were looked at longest ago first.
        self._waiting: dict[int, dict[_Gate, _Watched]] = defaultdict(dict)
        self._asked = asyncio.Event()

    def want(self, partition: int, state: RunState, action: AwaitRun) -> None:
        """Watch for the run of a gate. A repeated question replaces the earlier one."""
        watched = _Watched(state=state, action=action, since_us=action.awaited.since_us)
        self._waiting[partition][state.run_id, action.path] = watched
        self._asked.set()

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed; that owner asks again."""
        self._waiting.pop(partition, None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await came(self._asked, self._again_seconds if any(self._waiting.values()) else None)
            self._asked.clear()
            for partition in list(self._waiting):
                await self._look(partition)

    async def _look(self, partition: int) -> None:
        waiting = self._waiting[partition]
        for gate in [gate for gate, watched in waiting.items() if not watched.is_open()]:
            del waiting[gate]
        looked_us = self._now_us()
        turn = dict(list(waiting.items())[:_AT_ONCE])
        for gate, run in (await self._found(partition, turn)).items():
            watched = turn[gate]
            # Another question, or another owner, may have come meanwhile.
            if waiting.get(gate) is not watched:
                continue
            del waiting[gate]
            if run is not None or not watched.action.waits:
                self._answered(partition, gate[0], _answer(watched.action, run))
                continue
            watched.since_us = max(watched.since_us, looked_us - OVERLAP_US)
            waiting[gate] = watched

    async def _found(
        self, partition: int, turn: Mapping[_Gate, _Watched]
    ) -> Mapping[_Gate, RunRecord | None]:
        """Look for the runs of these gates; leave out those for which the store did not answer."""
        if not turn:
            return {}
        try:
            found = await self._store.read(_look_up, self._store.store, list(turn.values()))
            return dict(zip(turn, found, strict=True))
        except Unavailable as error:
            log.warning("awaited runs not found; retrying", partition=partition, reason=str(error))
        except Exception as error:
            return await self._found_apart(partition, turn, error)
        return {}

    async def _found_apart(
        self, partition: int, turn: Mapping[_Gate, _Watched], error: Exception
    ) -> Mapping[_Gate, RunRecord | None]:
        """Look in halves until the question that the store refuses stands alone."""
        gates = list(turn)
        if len(gates) == 1:
            self._waiting[partition].pop(gates[0], None)
            self._faulted(partition, gates[0][0], "an awaited run was looked for", error)
            return {}
        middle = len(gates) // 2
        found: dict[_Gate, RunRecord | None] = {}
        for half in (gates[:middle], gates[middle:]):
            found |= await self._found(partition, {gate: turn[gate] for gate in half})
        return found


def _look_up(store: RunStore, gates: Sequence[_Watched]) -> list[RunRecord | None]:
    """Return the awaited run of each gate, if there is one. Blocks: for reader threads."""
    return [
        store.succeeded_run(
            each.state.tenant,
            each.action.awaited.workflow,
            dict(each.action.awaited.params_json),
            each.since_us,
        )
        for each in gates
    ]


def _answer(action: AwaitRun, run: RunRecord | None) -> Message:
    if run is None:
        return RunMissing(path=action.path, awaited=action.awaited)
    outputs = canonical.loads(run.row.outputs) if run.row.outputs else {}
    return RunFound(path=action.path, awaited=action.awaited, run_id=run.run_id, outputs=outputs)
