"""Reads the whole log of an attempt, over however many streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kaon.client.calling import Caller
from kaon.client.resuming import Opening, Resuming
from kaon.client.retrying import Patience
from kaon_wire import bounds
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

    def read(self, patience: Patience) -> Iterator[bytes]:
        """All pieces, in order.

        Raises:
            KaonError: as the coordinator tells it. Unavailable: it does not answer for so long.
        """
        return Resuming(self._opened, f"the log of step {self._path}").read(patience)

    def _opened(self, offset: int) -> Iterator[Opening | bytes]:
        request = bounds.made(
            log_pb2.ReadWholeLogRequest,
            run_id=self._run_id,
            path=self._path,
            attempt=self._attempt,
            offset=offset,
        )
        for response in self._caller.stream(self._service.ReadWholeLog, request):
            if response.digest:
                # A stream that breaks goes on with the same attempt, although a newer one may have begun.
                self._attempt = response.attempt
                yield Opening(size=response.size_bytes, digest=response.digest)
            if response.data:
                yield response.data
