"""Makes turns durable in one transaction, and isolates the run whose values the database refuses.

A database refuses a transaction as a whole. Then the turns are split by run and halved until the run at fault
stands alone; all others become durable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.requests import RECORD_BYTES
from kaon_coordinator.shell.turn import Turn, rows_of
from kaon_coordinator.store.base import EncodedEvent, KeysTaken, PartitionBatch, encode_event
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import InvalidValue, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A turn with its writes."""

    partition: Partition
    turn: Turn
    # The turn's events, as stored and published.
    history: Sequence[EncodedEvent]
    # None when nothing must be made durable.
    batch: PartitionBatch | None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The part of one run in a turn."""

    run_id: str
    turn: Turn
    batch: PartitionBatch


@dataclass(frozen=True, kw_only=True)
class _Apart:
    """The results of parts that were written separately."""

    lost: set[int] = field(default_factory=set)
    refused: list[tuple[_Part, Exception]] = field(default_factory=list)


def prepare(partition: Partition, turn: Turn) -> Written:
    """Assemble the writes of a turn; set apart a run for which this raises."""
    encoded = _encoded(turn)
    rows = rows_of(turn)
    history = [event for event in encoded if not turn.is_apart(event.run_id)]
    if turn.durable:
        return Written(partition=partition, turn=turn, history=history, batch=None)
    partition.note_rows(rows.steps)
    batch = PartitionBatch(
        partition=partition.number,
        epoch=partition.epoch,
        begun=list(turn.begun.values()),
        history=history,
        runs=rows.runs,
        steps=rows.steps,
        blocks=rows.blocks,
        dropped=rows.dropped,
        new_runs=turn.atomic_effects.new_runs,
        messages=turn.atomic_effects.messages,
        memos=turn.atomic_effects.memos,
        released=turn.atomic_effects.released,
        notices=turn.atomic_effects.notices,
        dataset_updates=turn.atomic_effects.dataset_updates,
        applied_inbox=[row.inbox_id for row in turn.applied_inbox],
        published=partition.take_published_of_ended(),
    )
    return Written(partition=partition, turn=turn, history=history, batch=batch)


def _encoded(turn: Turn) -> list[EncodedEvent]:
    try:
        encoded = [encode_event(event) for event in turn.events]
    except Exception:
        return _encoded_apart(turn)
    if any(len(event.data) > RECORD_BYTES for event in encoded):
        return _encoded_apart(turn)
    return encoded


def _encoded_apart(turn: Turn) -> list[EncodedEvent]:
    encoded: list[EncodedEvent] = []
    for event in list(turn.events):
        if not turn.is_apart(event.run_id):
            try:
                encoded.append(_of_a_size(encode_event(event)))
            except Exception as error:
                turn.set_apart(
                    event.run_id, note_fault("its events were encoded", error, run=event.run_id)
                )
    return encoded


def _of_a_size(event: EncodedEvent) -> EncodedEvent:
    """Return the serialized event if a broker accepts its size.

    Raises:
        InvalidValue: The event is too large.
    """
    if len(event.data) > RECORD_BYTES:
        raise InvalidValue(
            f"event {event.seq} has {len(event.data)} bytes; a record of a topic has at most {RECORD_BYTES}"
        )
    return event


async def commit(
    store: StoreCalls[PartitionStore],
    written: Sequence[Written],
    meanwhile: Callable[[], None] = lambda: None,
) -> set[int]:
    """Make turns durable, and set apart the runs that the database refuses.

    Args:
        store: Where they are written.
        written: The turns.
        meanwhile: Called once while the store's thread begins; nothing of what it makes may leave before this returns.

    Returns:
        The partitions that another owner has claimed.

    Raises:
        Unavailable: It is unknown whether the turns are durable.
    """
    batches = [each.batch for each in written if each.batch is not None]
    if not batches:
        meanwhile()
        return set()
    committing = store.run(store.store.commit_all, batches)
    meanwhile()
    try:
        return set(await committing)
    except Unavailable:
        raise
    except KeysTaken as taken:
        parts = [part for each in written for part in _parts(each)]
        for part in parts:
            if part.run_id in taken.run_ids:
                part.turn.turn_away(part.run_id)
        parts = [part for part in parts if part.run_id not in taken.run_ids]
    except Exception:
        parts = [part for each in written for part in _parts(each)]
    apart = _Apart()
    await _commit_apart(store, parts, apart)
    for part, error in apart.refused:
        about = {"run": part.run_id, "partition": part.batch.partition}
        part.turn.set_apart(part.run_id, note_fault("it was written", error, **about))
    return apart.lost


async def _commit_apart(
    store: StoreCalls[PartitionStore], parts: Sequence[_Part], apart: _Apart
) -> None:
    """Write as many parts as possible, by halving."""
    if not parts:
        return
    try:
        apart.lost.update(await store.run(store.store.commit_all, [part.batch for part in parts]))
    except Unavailable:
        raise
    except Exception as error:
        if len(parts) == 1:
            apart.refused.append((parts[0], error))
            return
        middle = len(parts) // 2
        await _commit_apart(store, parts[:middle], apart)
        await _commit_apart(store, parts[middle:], apart)


def _parts(written: Written) -> list[_Part]:
    """Split a turn's batch by run."""
    batch, turn = written.batch, written.turn
    if batch is None:
        return []
    given: dict[str, dict[str, Any]] = defaultdict(dict)
    _split(given, "begun", batch.begun, lambda run: run.run_id)
    _split(given, "history", written.history, lambda event: event.run_id)
    _split(given, "runs", batch.runs, lambda row: row.run_id)
    _split(given, "new_runs", batch.new_runs, lambda run: run.begun_by)
    _split(given, "messages", batch.messages, lambda message: message.sender)
    _split(given, "memos", batch.memos, lambda memo: memo.run_id)
    _split(given, "released", batch.released, lambda holder: holder.run_id)
    _split(given, "notices", batch.notices, lambda notice: notice.run_id)
    _split(given, "dataset_updates", batch.dataset_updates, lambda update: update.run_id)
    by_run: dict[str, list[int]] = defaultdict(list)
    for row in turn.applied_inbox:
        by_run[row.run_id].append(row.inbox_id)
    for run_id, ids in by_run.items():
        given[run_id]["applied_inbox"] = ids
    keyed: dict[str, Mapping[str, Any]] = {
        "steps": batch.steps,
        "blocks": batch.blocks,
        "dropped": batch.dropped,
        "published": batch.published,
    }
    for name, values in keyed.items():
        for run_id, value in values.items():
            given[run_id][name] = {run_id: value}
    return [
        _Part(
            run_id=run_id,
            turn=turn,
            batch=PartitionBatch(partition=batch.partition, epoch=batch.epoch, **what),
        )
        for run_id, what in given.items()
    ]


def _split(
    given: dict[str, dict[str, Any]], name: str, values: Iterable[T], run_of: Callable[[T], str]
) -> None:
    for value in values:
        given[run_of(value)].setdefault(name, []).append(value)
