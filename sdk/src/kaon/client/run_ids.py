"""Ids of runs that people shorten: the beginning of an id stands for the run, when it is the only one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaon_wire.errors import Conflict
from kaonapi.run.v1 import run_pb2, run_service_pb2

# Characters of a whole id.
LENGTH = 26
_LISTED = 5


class RunIds:
    """Completes the ids in requests.

    Args:
        listed: lists runs.
    """

    def __init__(
        self,
        listed: Callable[[run_service_pb2.ListRunsRequest], run_service_pb2.ListRunsResponse],
    ) -> None:
        self._listed = listed
        self._known: dict[str, str] = {}

    def complete(self, request: Any) -> Any:
        """Return the request with the whole id of the run that it names.

        An id that no run's begins with stays as it is: the service refuses it.

        Raises:
            Conflict: several runs have ids that begin so; the error lists them.
        """
        written = getattr(request, "run_id", "")
        if not isinstance(written, str) or not 0 < len(written) < LENGTH:
            return request
        if written not in self._known:
            found = self._find(written)
            if not found:
                return request
            self._known[written] = found
        if self._known[written] == written:
            return request
        whole = type(request)()
        whole.CopyFrom(request)
        whole.run_id = self._known[written]
        return whole

    def _find(self, written: str) -> str:
        request = run_service_pb2.ListRunsRequest(
            run_id_prefix=written.lower(), page_size=_LISTED + 1
        )
        runs = list(self._listed(request).runs)
        if written in {run.run_id for run in runs}:
            return written
        if len(runs) > 1:
            more = " and others" if len(runs) > _LISTED else ""
            told = ", ".join(_told(run) for run in runs[:_LISTED])
            raise Conflict(f"the ids of several runs begin with {written!r}: {told}{more}")
        return runs[0].run_id if runs else ""


def _told(run: run_pb2.Run) -> str:
    status = run_pb2.Status.Name(run.status).removeprefix("STATUS_")
    return f"{run.run_id} ({run.workflow}, {status})"
