"""Sorts a batch of records by type and partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from kaon_coordinator.faults import note_fault
from kaon_coordinator.transport.base import Incoming
from kaon_wire import topics
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(kw_only=True)
class Inbound:
    """A batch, decoded."""

    # By engine partition, in order of arrival.
    reports: dict[int, list[step_pb2.StepEvents]] = field(default_factory=lambda: defaultdict(list))
    inbox_filled: set[int] = field(default_factory=set)
    # With the engine partition that is asked.
    pools_opened: list[tuple[int, command_pb2.PoolOpened]] = field(default_factory=list)
    pool_reports: list[command_pb2.PoolReport] = field(default_factory=list)
    # Another owner has released permits.
    permits_freed: bool = False
    requests: list[step_pb2.StepRequests] = field(default_factory=list)
    # As they came, and what they say.
    heartbeats: list[tuple[bytes, runner_pb2.RunnerHeartbeat]] = field(default_factory=list)
    logs: list[log_pb2.LogLines] = field(default_factory=list)
    # Undecodable records, with the reason.
    poison: list[tuple[Incoming, str]] = field(default_factory=list)


def sort_records(records: Sequence[Incoming]) -> Inbound:
    """Decode a batch. An undecodable record is set aside and never stops the others."""
    inbound = Inbound()
    for record in records:
        try:
            _SORT[record.topic](inbound, record)
        except DecodeError as error:
            inbound.poison.append((record, f"not a {record.topic} message: {error}"))
        except Exception as error:
            fault = note_fault("a record was read", error, topic=record.topic, offset=record.offset)
            inbound.poison.append((record, str(fault)))
    return inbound


def _report(inbound: Inbound, record: Incoming) -> None:
    report = step_pb2.StepEvents.FromString(record.value)
    if "\0" in report.runner_id or "\0" in report.incarnation:
        inbound.poison.append((record, f"no runner is called {report.runner_id[:80]!r}"))
    else:
        inbound.reports[record.partition].append(report)


def _wakeup(inbound: Inbound, record: Incoming) -> None:
    wakeup = command_pb2.Wakeup.FromString(record.value)
    match wakeup.WhichOneof("wakeup"):
        case "inbox_filled":
            inbound.inbox_filled.add(record.partition)
        case "pool_opened":
            inbound.pools_opened.append((record.partition, wakeup.pool_opened))
        case "pool_report":
            inbound.pool_reports.append(wakeup.pool_report)
        case "permits_freed":
            inbound.permits_freed = True
        case None:
            inbound.poison.append((record, "an empty wake-up"))


def _requests(inbound: Inbound, record: Incoming) -> None:
    inbound.requests.append(step_pb2.StepRequests.FromString(record.value))


def _heartbeat(inbound: Inbound, record: Incoming) -> None:
    heartbeat = runner_pb2.RunnerHeartbeat.FromString(record.value)
    inbound.heartbeats.append((record.value, heartbeat))


def _logs(inbound: Inbound, record: Incoming) -> None:
    inbound.logs.append(log_pb2.LogLines.FromString(record.value))


_SORT: dict[str, Callable[[Inbound, Incoming], None]] = {
    topics.STEP_EVENTS: _report,
    topics.RUN_COMMANDS: _wakeup,
    topics.STEP_REQUESTS: _requests,
    topics.RUNNER_HEARTBEATS: _heartbeat,
    topics.STEP_LOGS: _logs,
}
