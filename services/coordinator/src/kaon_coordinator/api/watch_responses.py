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
    batch, size = WatchRunResponse(), 0
    for update in updates:
        if not isinstance(update, history_pb2.HistoryEvent):
            if batch.events:
                yield batch
                batch, size = WatchRunResponse(), 0
            yield WatchRunResponse(progress=update)
        elif not batch_size:
            yield WatchRunResponse(event=update)
        else:
            more = update.ByteSize()
            if len(batch.events) == batch_size or (batch.events and size + more > _LARGEST_BYTES):
                yield batch
                batch, size = WatchRunResponse(), 0
            batch.events.append(update)
            size += more
    if batch.events:
        yield batch
