"""The trigger `dataset_updated`: updates of a dataset, as occasions."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.schedules.schedule_state import Occasion, ScheduleState
from kaon_coordinator.schedules.times import SECOND_US
from kaon_coordinator.store.base import KeptUpdate, ScheduleRecord
from kaon_coordinator.store.protocols.dataset_store import DatasetStore
from kaon_wire import canonical

# Updates whose clock is behind the newest known one by more than this are not looked for.
BEHIND_US = 3_600 * SECOND_US
_AT_ONCE = 1_000


def dataset_updated(
    store: DatasetStore, schedule: ScheduleRecord, state: ScheduleState
) -> tuple[list[Occasion], ScheduleState]:
    """Return the occasions of the updates since the last evaluation. Blocks: for reader threads.

    How far it has come is an id for each partition, whose updates become visible in the order of their ids: none is left
    out, and none counts twice.
    """
    dataset = schedule.definition.dataset_updated.dataset
    since_us = max(state.last_us, state.cursor_us - BEHIND_US)
    positions = dict(state.positions)
    found = store.dataset_updates_since(schedule.tenant, dataset, since_us, positions, _AT_ONCE)
    for each in found:
        positions[each.partition] = each.update_id
    cursor_us = max([state.cursor_us, *(each.time_us for each in found)])
    # Its own runs would trigger one another for ever.
    own = f"schedule:{schedule.name}"
    occasions = [_occasion(each) for each in found if each.origin != own]
    return occasions, replace(state, positions=positions, cursor_us=cursor_us)


def _occasion(update: KeptUpdate) -> Occasion:
    event = {
        "dataset": update.dataset,
        "partition": update.part,
        "run_id": update.run_id,
        "workflow": update.workflow,
        "version": update.version,
        "path": update.path,
        "outputs": {name: canonical.loads(text) for name, text in update.outputs.items()},
        "by": update.teller,
    }
    return Occasion(
        key=f"dataset:{update.update_id}",
        time_us=update.time_us,
        event_json=canonical.dumps(event),
        because_of=(update.update_id,),
    )
