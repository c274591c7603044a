"""Who else wants to know what the coordinator hears and decides: the API's live feed and the log archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


class Sinks(Protocol):
    """Receives what has become durable, and what is only shown. None of it may raise."""

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """History events that are durable, in order of seq for each run."""

    def progress(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        """Runners' records, for the progress in them."""

    async def logs(self, lines: Sequence[log_pb2.LogLines]) -> None:
        """Lines that steps printed; returns when they are archived."""
