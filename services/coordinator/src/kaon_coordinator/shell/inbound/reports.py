"""Converts records of runners to messages of the engine."""

from __future__ import annotations

from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    Failed,
    HandedBack,
    Lease,
    Message,
    Reported,
    Serves,
    Started,
    Stopped,
    Succeeded,
)
from kaonapi.step.v1 import step_pb2

# Characters of the reason for which a runner hands a step back.
_REASON_CHARACTERS = 2_000


def lease_of(record: step_pb2.StepEvents, key: step_pb2.StepKey) -> Lease:
    """Return the lease under which a record reports one of its keys."""
    return Lease(
        issue=StepIssue(path=key.path, attempt=key.attempt, generation=key.generation),
        runner_id=record.runner_id,
        incarnation=record.incarnation,
        succession=key.succession,
    )


def message_of(record: step_pb2.StepEvents, event: step_pb2.StepEvent) -> Message | None:
    """Convert one event to the engine's message; None for progress, which is shown but not stored."""
    lease = lease_of(record, event.key)
    match event.WhichOneof("event"):
        case "started":
            return Started(lease=lease)
        case "metric":
            return Reported(lease=lease, metric=event.metric)
        case "checkpointed":
            return Reported(lease=lease, checkpoint_json=event.checkpointed.checkpoint_json)
        case "serves":
            return Serves(lease=lease, outputs=dict(event.serves.outputs_json))
        case "succeeded":
            succeeded = event.succeeded
            return Succeeded(
                lease=lease, outputs=dict(succeeded.outputs_json), log_json=succeeded.log_json
            )
        case "failed":
            error = event.failed.error
            return Failed(lease=lease, error=_printable(error), log_json=event.failed.log_json)
        case "stopped":
            return Stopped(lease=lease, log_json=event.stopped.log_json)
        case "handed_back":
            return HandedBack(
                lease=lease, reason=_without_nul(event.handed_back.reason[:_REASON_CHARACTERS])
            )
    return None


def _printable(error: step_pb2.StepError) -> step_pb2.StepError:
    """Return an error without NUL characters, which databases refuse in texts."""
    texts = (error.type, error.message, error.details)
    if not any("\0" in text for text in texts):
        return error
    kind, message, details = map(_without_nul, texts)
    return step_pb2.StepError(
        error_class=error.error_class,
        type=kind,
        message=message,
        details=details,
        exit_code=error.exit_code,
    )


def _without_nul(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
