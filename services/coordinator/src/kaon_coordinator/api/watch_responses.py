"""What a watch tells, in responses: a message costs more than the events in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaon_coordinator.api.feed import Update
from kaonapi.run.v1 import history_pb2
from kaonapi.run.v1.run_service_pb2 import WatchRunResponse

# A client takes messages of 4 MiB.
_LARGEST_BYTES = 1 << 20


def watch_responses(updates: Iterable[Update], batch_size: int) -> Iterator[WatchRunResponse]:
    """Yield updates, in order.

    Args:
        updates: Events and progress.
        batch_size: Up to so many events go into one response, fewer where they are large; 0: each goes alone.
    """
    batch: list[history_pb2.HistoryEvent] = []
    size = 0
    for update in updates:
        batched = bool(batch_size) and isinstance(update, history_pb2.HistoryEvent)
        more = update.ByteSize() if batched else 0
        if batch and (not batched or len(batch) == batch_size or size + more > _LARGEST_BYTES):
            yield WatchRunResponse(events=batch)
            batch, size = [], 0
        if not isinstance(update, history_pb2.HistoryEvent):
            yield WatchRunResponse(progress=update)
        elif not batch_size:
            yield WatchRunResponse(event=update)
        else:
            batch.append(update)
            size += more
    if batch:
        yield WatchRunResponse(events=batch)
