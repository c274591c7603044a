"""What commands would do: the engine decides on a state of its own, and nothing of it is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kaon_coordinator import expressions, replay
from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.decide import decide, submit
from kaon_coordinator.engine.decision import Context
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell.fork_states import PastStore, definitions
from kaon_coordinator.shell.inbound.commands import message_of
from kaon_coordinator.store.base import RunRecord
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.run.v1 import run_service_pb2 as r

_MOST_PATHS = 1_000
_MOST_EVENTS = 100


@dataclass(frozen=True, kw_only=True)
class _Stood:
    """How a step stood before."""

    status: t.Status
    generation: int
    begun: bool


def of_command(
    store: PastStore, run: RunRecord, command: command_pb2.RunCommand, now_us: int, limits: Limits
) -> r.CommandPlan:
    """Compute what a command would do to a run as it stands. Blocks."""
    loaded = store.load_run(run.run_id)
    workflow = definitions(store)(run.tenant, run.workflow, run.version)
    state = replay.stored(loaded, workflow)
    before, seq = _steps(state), state.seq
    decision = decide(state, message_of(command), _context(now_us, limits))
    return _told(state, before, seq, decision.events)


def of_fork(
    store: PastStore,
    run: RunRecord,
    fork: history_pb2.RunFork,
    version: str,
    now_us: int,
    limits: Limits,
) -> r.CommandPlan:
    """Compute how a fork of a run into a version would begin. Blocks."""
    compiled = definitions(store)
    state = replay.replay(store, run, fork.seq, compiled)
    before, seq = _steps(state), fork.seq
    fork_state(state, run.run_id, compiled(run.tenant, run.workflow, version))
    submitted = history_pb2.RunSubmitted(
        workflow=run.workflow,
        version=version,
        tenant=run.tenant,
        params_json=state.params,
        fork=fork,
    )
    first = submit(state, submitted=submitted, context=_context(now_us, limits))
    begun = decide(state, Start(), _context(now_us, limits))
    return _told(state, before, seq, [*first.events, *begun.events])


def _context(now_us: int, limits: Limits) -> Context:
    evaluate: Callable[[str, Mapping[str, object]], object] = expressions.evaluate
    return Context(now_us=now_us, evaluate=evaluate, limits=limits)


def _steps(state: RunState) -> dict[str, _Stood]:
    return {
        path: _Stood(status=step.status, generation=step.generation, begun=step.begun)
        for path, step in state.steps.items()
    }


def _told(
    state: RunState,
    before: Mapping[str, _Stood],
    seq: int,
    events: Iterable[history_pb2.HistoryEvent],
) -> r.CommandPlan:
    told = r.CommandPlan(seq=seq)
    for event in events:
        if event.HasField("command_refused") and not told.refusal:
            told.refusal = event.command_refused.problem
        for paths in (event.definition_changed.paths, event.blocks_reset.paths):
            told.resets_total += len(paths)
            told.resets.extend(paths[: _MOST_PATHS - len(told.resets)])
        told.continued.extend(event.blocks_reset.continued[: _MOST_PATHS - len(told.continued)])
        if len(told.events) < _MOST_EVENTS:
            told.events.append(event)
    again: Counter[str] = Counter()
    for path, stood in before.items():
        step = state.steps.get(path)
        same = step is not None and step.begun and step.generation == stood.generation
        if stood.begun and not same:
            again[t.short(stood.status)] += 1
        elif same and stood.status == t.SUCCEEDED:
            told.kept += 1
    told.steps.update(again)
    return told
