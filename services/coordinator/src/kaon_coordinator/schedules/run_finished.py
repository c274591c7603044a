"""The trigger `run_finished`: ended runs, as occasions."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_coordinator.schedules.times import SECOND_US
from kaon_coordinator.store.base import RunRecord, ScheduleRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2

# An end may become visible so much later than ends that came after it: clocks differ, and transactions take
# time.
OVERLAP_US = 60 * SECOND_US
_PAGE = 1_000


def run_finished(
    store: RunStore, schedule: ScheduleRecord, state: ScheduleState
) -> tuple[list[Occasion], ScheduleState]:
    """Return the occasions of the runs that ended since the last evaluation. Blocks: for reader threads."""
    wanted = schedule.definition.run_finished
    statuses = set(wanted.statuses) or {run_pb2.STATUS_SUCCEEDED}
    seen, cursor_us = set(state.seen), state.cursor_us
    occasions: list[Occasion] = []
    for run in _ended(store, schedule.tenant, wanted.workflow, state.cursor_us - OVERLAP_US):
        end = f"{run.run_id}:{run.row.end_us}"
        # Its own runs would trigger one another for ever.
        own = run.origin == f"schedule:{schedule.name}"
        if end in seen or own or run.row.end_us < state.last_us:
            continue
        seen.add(end)
        cursor_us = max(cursor_us, run.row.end_us)
        if run.row.status in statuses:
            occasions.append(_occasion(run, end))
    kept = sorted(end for end in seen if int(end.rsplit(":", 1)[1]) >= cursor_us - OVERLAP_US)
    return occasions, replace(state, cursor_us=cursor_us, seen=tuple(kept))


def _ended(store: RunStore, tenant: str, workflow: str, since_us: int) -> list[RunRecord]:
    runs: dict[str, RunRecord] = {}
    while True:
        page = store.ended_runs(tenant, workflow, since_us, _PAGE)
        known = len(runs)
        runs.update((run.run_id, run) for run in page)
        # A page holds more than the possible ends in one microsecond; any beyond it would be omitted, to
        # avoid a loop.
        if len(page) < _PAGE or len(runs) == known:
            return list(runs.values())
        since_us = page[-1].row.end_us


def _occasion(run: RunRecord, end: str) -> Occasion:
    outputs = canonical.loads(run.row.outputs) if run.row.outputs else {}
    event = {
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": t.short(run_pb2.Status.ValueType(run.row.status)),
        "outputs": {name: canonical.loads(text) for name, text in outputs.items()},
    }
    return Occasion(key=f"run:{end}", time_us=run.row.end_us, event_json=canonical.dumps(event))
