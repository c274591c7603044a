"""Runs in lists: without what may be large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from kaon_coordinator.api import views
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaonapi.view.v1 import runs_pb2

_LONGEST_PARAM = 1_024


def lines(records: Iterable[RunRecord]) -> list[runs_pb2.RunLine]:
    """Return runs as lists show them."""
    return [_line(record) for record in records]


def _line(record: RunRecord) -> runs_pb2.RunLine:
    line = runs_pb2.RunLine(run=views.run(record))
    line.run.ClearField("outputs_json")
    for name in sorted(name for name, text in record.params.items() if len(text) > _LONGEST_PARAM):
        del line.run.params_json[name]
        line.long_params.append(name)
    return line


def counted(
    reads: ViewReads, tenant: str, request: runs_pb2.CountRunsRequest, now_us: int
) -> runs_pb2.CountRunsResponse:
    """How many runs there are. Blocks."""
    found = reads.count_runs(tenant, request.filter, request.buckets, now_us)
    totals: Counter[int] = Counter()
    buckets: dict[int, Counter[int]] = {}
    for (bucket, status), number in found.counts.items():
        totals[status] += number
        if found.bucket_us:
            buckets.setdefault(bucket, Counter())[status] += number
    return runs_pb2.CountRunsResponse(
        totals=_counts(totals),
        buckets=[
            runs_pb2.RunBucket(index=index, counts=_counts(buckets[index]))
            for index in sorted(buckets)
        ],
        from_us=found.from_us,
        bucket_us=found.bucket_us,
    )


def _counts(numbers: Mapping[int, int]) -> list[runs_pb2.StatusCount]:
    return [
        runs_pb2.StatusCount(status=status, count=number)  # type: ignore[arg-type]
        for status, number in sorted(numbers.items())
    ]
