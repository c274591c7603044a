"""What steps printed: from the archive, or where that has left lines out, from the whole log of the attempt."""

from __future__ import annotations

from kaon_artifacts import ArtifactStore
from kaon_coordinator.api import whole_log
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view import kept_logs, whole_logs
from kaon_coordinator.view.whole_logs import WholeLog
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import logs_pb2


def page(
    reads: ViewReads, artifacts: ArtifactStore, run: RunRecord, request: logs_pb2.QueryLogsRequest
) -> logs_pb2.QueryLogsResponse:
    """One page of lines. Blocks.

    Raises:
        InvalidValue: the cursor is none, or lines of no one attempt are asked for by their number.
    """
    wish = request.filter
    if request.from_line and (
        request.cursor or request.backwards or not wish.path or not wish.attempt
    ):
        raise InvalidValue(
            "from_line: name a path and an attempt, for lines are numbered in one attempt, and neither a cursor nor backwards"
        )
    if request.cursor and not whole_logs.is_cursor(request.cursor):
        return kept_logs.page(reads, request)
    whole = find_whole(reads, artifacts, run, wish)
    if whole is not None:
        return whole.page(request)
    if request.cursor:
        raise InvalidValue(f"cursor {request.cursor[:80]!r}: it is of the whole log of one attempt")
    return kept_logs.page(reads, request)


def count(
    reads: ViewReads, artifacts: ArtifactStore, run: RunRecord, request: logs_pb2.CountLogsRequest
) -> logs_pb2.CountLogsResponse:
    """How many lines there are, and how many match. Blocks."""
    whole = find_whole(reads, artifacts, run, request.filter)
    return kept_logs.count(reads, request) if whole is None else whole.count(request)


def find_whole(
    reads: ViewReads, artifacts: ArtifactStore, run: RunRecord, wish: logs_pb2.LogFilter
) -> WholeLog | None:
    """Return the whole log, if one attempt of one step is wanted, of which the archive has left lines out.

    A whole log knows no streams and no times: who asks for these gets archived lines.
    """
    if not wish.path or not wish.attempt or wish.streams or wish.from_us or wish.until_us:
        return None
    if not reads.lines_left_out(wish.run_id, wish.path, wish.attempt):
        return None
    try:
        stored = whole_log.find(reads.store, run, wish.path, wish.attempt)
    except (NotFound, FailedPrecondition):
        # It has not ended, or its runner was lost.
        return None
    key = step_pb2.StepKey(run_id=wish.run_id, path=wish.path, attempt=stored.attempt)
    return WholeLog(artifacts, stored, key)
