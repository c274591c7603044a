"""Which part of the engine answers which message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaon_coordinator.engine import (
    blocks,
    commands,
    foreach,
    gates,
    leases,
    messages,
    pausing,
    preparing,
    runs,
    steps,
    subworkflows,
    timing,
)
from kaon_coordinator.engine.decide import Decision
from kaon_coordinator.engine.messages import Message

_HANDLERS: dict[type[Message], Callable[[Decision, Any], None]] = {
    messages.Start: runs.start,
    messages.Cancel: commands.cancel,
    messages.Pause: pausing.pause,
    messages.Resume: pausing.resume,
    messages.SetPriority: commands.set_priority,
    messages.Signal: gates.signal,
    messages.Answer: gates.answer,
    messages.Retry: commands.retry,
    messages.Restart: commands.restart,
    messages.Mark: commands.mark,
    messages.ChildEnded: subworkflows.ended,
    messages.ChildPrepared: subworkflows.prepared,
    messages.Due: timing.due,
    messages.Continued: blocks.continued,
    messages.ItemsRead: foreach.items_read,
    messages.ManifestsWritten: preparing.manifests_written,
    messages.MemoFound: preparing.memo_found,
    messages.MemoMissed: preparing.memo_missed,
    messages.PermitsGranted: preparing.permits_granted,
    messages.Unprepared: preparing.unprepared,
    messages.Started: leases.started,
    messages.HandedBack: leases.handed_back,
    messages.LeaseExpired: leases.expired,
    messages.Reported: steps.reported,
    messages.Succeeded: steps.succeeded,
    messages.Failed: steps.failed,
    messages.Stopped: steps.stopped,
    messages.RetryDue: steps.retry_due,
    messages.AttemptTimedOut: steps.attempt_timed_out,
}


def handle(decision: Decision, message: Message) -> None:
    """Answers a message."""
    _HANDLERS[type(message)](decision, message)
