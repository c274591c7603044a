"""Publishes how far running steps have come, for who watches a run elsewhere. Progress is shown, not stored: it may be lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from kaon_coordinator.faults import going_on
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.transport.base import Transport
from kaon_wire import topics
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2

# Minimum seconds between two sends; of each step the newest report of that time is sent.
PAUSE_SECONDS = 0.2


def progress_in(record: step_pb2.StepEvents) -> Iterator[history_pb2.RunProgress]:
    """Yield the progress that a runner's record reports."""
    for event in record.events:
        if event.HasField("progress"):
            yield history_pb2.RunProgress(run_id=event.key.run_id, step=_view(record, event))


def _view(record: step_pb2.StepEvents, event: step_pb2.StepEvent) -> run_pb2.StepView:
    key, progress = event.key, event.progress
    return run_pb2.StepView(
        path=key.path,
        name=key.path.rsplit("/", 1)[-1],
        status=run_pb2.STATUS_RUNNING,
        attempt=key.attempt,
        generation=key.generation,
        runner_id=record.runner_id,
        progress=progress.fraction,
        progress_message=progress.message,
    )


class ProgressPublisher:
    """Sends progress to topic run-events.

    Args:
        catalogue: The deployment's topics.
        transport: The transport to send by.
    """

    def __init__(self, catalogue: topics.Catalogue, transport: Transport) -> None:
        self._catalogue = catalogue
        self._transport = transport
        # By partition, run and path: the newest report that has not been sent.
        self._waiting: dict[int, dict[tuple[str, str], history_pb2.RunProgress]] = defaultdict(dict)
        self._filled = asyncio.Event()

    def add(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        """Queue the progress in runners' records, given by partition."""
        for partition, records in reports.items():
            for record in records:
                for told in progress_in(record):
                    self._waiting[partition][told.run_id, told.step.path] = told
                    self._filled.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            waiting, self._waiting = self._waiting, defaultdict(dict)
            outbox = Outbox(self._catalogue)
            for partition, told in waiting.items():
                outbox.progress(partition, [each.SerializeToString() for each in told.values()])
            with going_on("progress was published"):
                await self._transport.send(outbox.take())
            await asyncio.sleep(PAUSE_SECONDS)
