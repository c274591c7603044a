"""Converts commands of the inbox to messages of the engine."""

from __future__ import annotations

from collections.abc import Callable

from kaon_coordinator.engine import messages as m
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import command_pb2


def message_of(command: command_pb2.RunCommand) -> m.Message:
    """Convert a command to the engine's message.

    Raises:
        InvalidValue: This version does not know the command.
    """
    build = _MESSAGES.get(command.WhichOneof("command") or "")
    if build is None:
        raise InvalidValue(f"run {command.run_id}: a command that this version does not know")
    return build(command)


def _signal(command: command_pb2.RunCommand) -> m.Signal:
    signal = command.signal
    return m.Signal(
        name=signal.name,
        payload_json=signal.payload_json,
        requester=command.requester,
        path=signal.path,
        roles=frozenset(signal.roles),
        to_all=signal.to_all,
    )


def _cancel(command: command_pb2.RunCommand) -> m.Cancel:
    cancel = command.cancel
    return m.Cancel(
        reason=cancel.reason or command.reason,
        requester=cancel.requester or command.requester,
        path=cancel.path,
        force=cancel.force,
        skip=cancel.skip,
    )


def _answer(command: command_pb2.RunCommand) -> m.Answer:
    answer = command.answer
    return m.Answer(
        path=answer.path,
        approved=answer.approved,
        comment=answer.comment,
        requester=command.requester,
        roles=frozenset(answer.roles),
        values=dict(answer.values_json),
    )


def _mark(command: command_pb2.RunCommand) -> m.Mark:
    return m.Mark(
        path=command.mark.path,
        status=command.mark.status,
        outputs=dict(command.mark.outputs_json),
        reason=command.reason,
        requester=command.requester,
    )


def _child_ended(command: command_pb2.RunCommand) -> m.ChildEnded:
    ended = command.child_ended
    return m.ChildEnded(
        path=ended.path,
        child_run_id=ended.child_run_id,
        status=ended.status,
        outputs=dict(ended.outputs_json),
        error=ended.error if ended.HasField("error") else None,
        asked=ended.asked,
    )


def _retry(command: command_pb2.RunCommand) -> m.Retry:
    retry = command.retry
    return m.Retry(
        path=retry.path, reason=command.reason, requester=command.requester, asked=retry.asked
    )


_MESSAGES: dict[str, Callable[[command_pb2.RunCommand], m.Message]] = {
    "start": lambda it: m.Start(),
    "cancel": _cancel,
    "pause": lambda it: m.Pause(reason=it.reason, requester=it.requester),
    "resume": lambda it: m.Resume(reason=it.reason, requester=it.requester),
    "signal": _signal,
    "answer": _answer,
    "retry": _retry,
    "restart": lambda it: m.Restart(path=it.restart.path, reason=it.reason, requester=it.requester),
    "mark": _mark,
    "set_priority": lambda it: m.SetPriority(
        priority=it.set_priority.priority, requester=it.requester
    ),
    "set_breakpoint": lambda it: m.SetBreakpoint(
        step=it.set_breakpoint.step, reason=it.reason, requester=it.requester
    ),
    "pass_breakpoint": lambda it: m.PassBreakpoint(
        step=it.pass_breakpoint.step, reason=it.reason, requester=it.requester
    ),
    "child_ended": _child_ended,
}
