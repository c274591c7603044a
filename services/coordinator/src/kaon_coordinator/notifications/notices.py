"""Makes notices from a run's events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.records import Notice
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# Characters of an error's text.
_CHARACTERS = 1_000
_ENDS = {
    run_pb2.STATUS_SUCCEEDED: d.OCCASION_SUCCEEDED,
    run_pb2.STATUS_FAILED: d.OCCASION_FAILED,
    run_pb2.STATUS_TIMED_OUT: d.OCCASION_FAILED,
    run_pb2.STATUS_CANCELLED: d.OCCASION_CANCELLED,
}


def notices_of(state: RunState, events: Iterable[history_pb2.HistoryEvent]) -> list[Notice]:
    """Return a notice for each event and each channel that the run's workflow names for it.

    The payload has `occasion`, `run_id`, `workflow`, `tenant`, `submitter`, `origin`, `path` (of the step, gate or block; empty
    for the run), `status` (of a run that has ended), and `error_type` and `error` (both may be empty).
    """
    return [
        Notice(
            tenant=state.tenant,
            run_id=state.run_id,
            seq=event.seq,
            channel=channel,
            payload=_payload(state, event, occasion),
            time_us=event.time_us,
        )
        for event in events
        if (occasion := _occasion(state, event))
        for channel in dict.fromkeys(_channels(state, occasion))
    ]


def _occasion(state: RunState, event: history_pb2.HistoryEvent) -> d.Occasion.ValueType:
    match event.WhichOneof("event"):
        case "run_ended":
            return _ENDS.get(event.run_ended.status, d.OCCASION_UNSPECIFIED)
        case "run_started":
            return d.OCCASION_RUNNING
        case "deadline_missed":
            return d.OCCASION_LATE
        case "step_retry_scheduled":
            return d.OCCASION_RETRY
        case "block_started":
            block = state.blocks.get(event.block_started.path)
            # A timer asks nobody for anything.
            if block is not None and block.block.gate.WhichOneof("kind") in ("approval", "signal"):
                return d.OCCASION_WAITING
    return d.OCCASION_UNSPECIFIED


def _channels(state: RunState, occasion: d.Occasion.ValueType) -> Iterator[str]:
    for notification in state.workflow.definition.notifications:
        if occasion in notification.on:
            yield notification.channel


def _payload(
    state: RunState, event: history_pb2.HistoryEvent, occasion: d.Occasion.ValueType
) -> str:
    kind = event.WhichOneof("event")
    what = getattr(event, kind or "")
    error = what.error if kind in ("run_ended", "step_retry_scheduled") else step_pb2.StepError()
    ended = run_pb2.Status.Name(what.status) if kind == "run_ended" else ""
    return canonical.dumps(
        {
            "occasion": name_of(occasion),
            "run_id": state.run_id,
            "workflow": state.workflow.definition.name,
            "tenant": state.tenant,
            "submitter": state.submitter,
            "origin": state.origin,
            "path": "" if kind in ("run_ended", "run_started") else what.path,
            "status": ended.removeprefix("STATUS_"),
            "error_type": error.type,
            "error": _cut(error.message),
        }
    )


def name_of(occasion: d.Occasion.ValueType) -> str:
    """Return the word of an occasion, such as "failed"."""
    return d.Occasion.Name(occasion).removeprefix("OCCASION_").lower()


def _cut(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}... (cut)"
