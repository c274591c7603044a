"""The tables of handlers: which part of the engine handles which message and timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaon_coordinator.engine import messages
from kaon_coordinator.engine.actions import Timer, WatchTime
from kaon_coordinator.engine.commands import (
    breakpoints,
    cancel,
    lifecycle,
    mark,
    pause,
    priority,
    retry,
)
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.kinds import (
    awaited_runs,
    foreach,
    gates,
    repeat,
    signal_gates,
    subworkflows,
)
from kaon_coordinator.engine.messages import Due, MemoFound, MemoMissed, Message, PermitsGranted
from kaon_coordinator.engine.scopes import scopes, stopping, timing
from kaon_coordinator.engine.steps import attempts, leases, preparing, serving


def due(decision: Decision, message: Due) -> None:
    """Handle a timer; ignore one that no longer applies."""
    if decision.context.now_us < message.due_us:
        decision.act(WatchTime(timer=message.timer, path=message.path, due_us=message.due_us))
        return
    _DUE[message.timer](decision, message)


def _timeout(decision: Decision, message: Due) -> None:
    answer = stopping.timeout if message.path else lifecycle.timeout
    answer(decision, message)


def _deadline(decision: Decision, message: Due) -> None:
    timing.deadline(decision, message)
    node = decision.state.node(message.path)
    if node is not None and node.late:
        scopes.happened(decision, node)


def _permits_granted(decision: Decision, message: PermitsGranted) -> None:
    if not message.path:
        lifecycle.permits_granted(decision, message)
    elif message.path in decision.state.blocks:
        scopes.locks_granted(decision, message)
    else:
        preparing.permits_granted(decision, message)


def _memo_found(decision: Decision, message: MemoFound) -> None:
    of_block = message.path in decision.state.blocks
    (subworkflows if of_block else preparing).memo_found(decision, message)


def _memo_missed(decision: Decision, message: MemoMissed) -> None:
    of_block = message.path in decision.state.blocks
    (subworkflows if of_block else preparing).memo_missed(decision, message)


_DUE: dict[Timer, Callable[[Decision, Due], None]] = {
    Timer.TIMEOUT: _timeout,
    Timer.DEADLINE: _deadline,
    Timer.GATE: gates.due,
    Timer.ITERATION: repeat.due,
    Timer.GRANT: leases.grant_due,
}

_HANDLERS: dict[type[Message], Callable[[Decision, Any], None]] = {
    messages.Start: lifecycle.start,
    messages.Cancel: cancel.cancel,
    messages.Pause: pause.pause,
    messages.Resume: pause.resume,
    messages.SetPriority: priority.set_priority,
    messages.SetBreakpoint: breakpoints.set_breakpoint,
    messages.PassBreakpoint: breakpoints.pass_breakpoint,
    messages.Signal: signal_gates.signal,
    messages.Answer: gates.answer,
    messages.Retry: retry.retry,
    messages.Restart: retry.restart,
    messages.Mark: mark.mark,
    messages.ChildEnded: subworkflows.ended,
    messages.ChildPrepared: subworkflows.prepared,
    messages.RunFound: awaited_runs.found,
    messages.RunMissing: gates.run_missing,
    messages.Due: due,
    messages.Continued: scopes.continued,
    messages.ItemsRead: foreach.items_read,
    messages.ManifestsWritten: preparing.manifests_written,
    messages.MemoFound: _memo_found,
    messages.MemoMissed: _memo_missed,
    messages.PermitsGranted: _permits_granted,
    messages.PermitsRefused: cancel.permits_refused,
    messages.Unprepared: preparing.unprepared,
    messages.Started: leases.started,
    messages.HandedBack: attempts.handed_back,
    messages.LeaseExpired: attempts.expired,
    messages.Reported: attempts.reported,
    messages.Serves: serving.serves,
    messages.Succeeded: attempts.succeeded,
    messages.Failed: attempts.failed,
    messages.Stopped: attempts.stopped,
    messages.RetryDue: attempts.retry_due,
    messages.AttemptTimedOut: attempts.attempt_timed_out,
}


def handle(decision: Decision, message: Message) -> None:
    """Dispatch a message to its handler."""
    _HANDLERS[type(message)](decision, message)
