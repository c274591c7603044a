"""Reads the whole log of an attempt, over however many streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kaon.client.calling import Caller
from kaon.client.retrying import Patience
from kaon_wire import bounds
from kaon_wire.errors import Conflict
from kaonapi.log.v1 import log_pb2


class WholeLog:
    """The bytes of one attempt's log; a stream that broke goes on where it was.

    Args:
        caller: calls the coordinator.
        service: the stub of its LogService.
        run_id: of the step's run.
        path: the step's.
        attempt: 0 means the newest.
    """

    def __init__(self, caller: Caller, service: Any, run_id: str, path: str, attempt: int) -> None:
        self._caller = caller
        self._service = service
        self._run_id, self._path, self._attempt = run_id, path, attempt
        self._offset, self._size, self._digest = 0, -1, ""

    def read(self, patience: Patience) -> Iterator[bytes]:
        """All pieces, in order.

        Raises:
            KaonError: as the coordinator tells it. Unavailable: it does not answer for so long.
        """
        return patience.stream(self._opened, complete=lambda: self._offset == self._size)

    def _opened(self) -> Iterator[bytes]:
        request = bounds.made(
            log_pb2.ReadWholeLogRequest,
            run_id=self._run_id,
            path=self._path,
            attempt=self._attempt,
            offset=self._offset,
        )
        for response in self._caller.stream(self._service.ReadWholeLog, request):
            if response.digest:
                self._begin(response)
            if response.data:
                self._offset += len(response.data)
                yield response.data

    def _begin(self, first: log_pb2.ReadWholeLogResponse) -> None:
        """Check that a resumed stream is of the same log: the step may have run again meanwhile."""
        if self._digest not in ("", first.digest):
            raise Conflict(f"the log of step {self._path} was replaced while it was read: read it again")
        self._attempt, self._size, self._digest = first.attempt, first.size_bytes, first.digest
