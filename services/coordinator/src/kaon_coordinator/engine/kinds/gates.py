"""Gates: approvals, signals, timers, and waits for other runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from kaon_coordinator.engine.actions import Timer, WatchTime
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import BlockKind, Decision, user_error
from kaon_coordinator.engine.kinds import awaited_runs, signal_gates
from kaon_coordinator.engine.messages import Answer, Due, RunMissing
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes.scopes import end_block, stop_error
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.awaiting import in_words
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.guards import Answerer
from kaon_coordinator.engine.state.state import BlockState
from kaon_wire import canonical
from kaon_wire.bounds import END_OF_TIME_US, LONGEST_MS
from kaon_wire.errors import InvalidValue, KaonError
from kaon_wire.times import read_duration
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

NO_VALUES: Mapping[str, str] = {}


def _start(decision: Decision, block: BlockState) -> None:
    """Open a gate; a signal that is already buffered passes it at once."""
    gate = block.block.gate
    due_us = 0
    if gate.HasField("timer"):
        due_us = _timer_due(decision, block)
    elif gate.timeout_ms:
        due_us = later_us(decision.context.now_us, gate.timeout_ms * 1000)
    started = history_pb2.BlockStarted(path=block.path, due_us=due_us)
    if gate.HasField("run"):
        started.awaited.CopyFrom(awaited_runs.awaited_by(decision, block))
    decision.emit(block_started=started)
    watch_node(decision, block)
    if gate.HasField("signal") and signal_gates.take_kept(decision, block):
        return
    if due_us and due_us <= decision.context.now_us:
        _time_over(decision, block)
    else:
        _derive(decision, block)


def _timer_due(decision: Decision, block: BlockState) -> int:
    timer = block.block.gate.timer
    after = timer.WhichOneof("due") == "after_ms"
    binding = timer.after_ms if after else timer.at
    value = canonical.loads(
        resolve(decision.state, block.scope, binding, decision.context.evaluate)
    )
    if after:
        value = _as_milliseconds(value)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 <= value <= LONGEST_MS
        ):
            raise KaonError(
                f"a timer needs a duration or milliseconds, from 0 to {LONGEST_MS}, not {canonical.dumps(value)[:80]}"
            )
        return max(later_us(decision.context.now_us, int(value * 1000)), 1)
    return max(parse_time(value), 1)


def _as_milliseconds(value: object) -> object:
    """Return a duration's milliseconds; what is no duration as it is."""
    try:
        return read_duration(value) / timedelta(milliseconds=1) if isinstance(value, str) else value
    except InvalidValue:
        return value


def parse_time(value: object) -> int:
    """Return an RFC 3339 time in microseconds since the epoch; a time without an offset is UTC.

    Raises:
        KaonError: The text is not an RFC 3339 time.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return min(int(moment.timestamp() * 1_000_000), END_OF_TIME_US)
    raise KaonError(f"a time must be like 2026-11-24T18:00:00Z, not {canonical.dumps(value)[:80]}")


def due(decision: Decision, message: Due) -> None:
    """End a gate whose wait is over."""
    block = decision.state.gates.get(message.path)
    if block is not None and block.due_us == message.due_us:
        _time_over(decision, block)


def _time_over(decision: Decision, block: BlockState) -> None:
    gate = block.block.gate
    if gate.HasField("timer"):
        end_block(decision, block, t.SUCCEEDED)
        return
    match gate.on_timeout:
        case d.GATE_TIMEOUT_SKIP:
            end_block(decision, block, t.SKIPPED)
        case d.GATE_TIMEOUT_REJECT if gate.HasField("approval"):
            _settle(decision, block, approved=False, by="", comment="no answer in time")
        case d.GATE_TIMEOUT_DEFAULT if gate.HasField("approval"):
            _settle(decision, block, approved=True, by="", comment="no answer in time")
        case d.GATE_TIMEOUT_DEFAULT:
            outputs = {"payload": gate.default_json or "null", "by": canonical.dumps("")}
            end_block(decision, block, t.SUCCEEDED, outputs=outputs)
        case _:
            within = f" within {gate.timeout_ms / 1000:g} s" if gate.timeout_ms else ""
            error = user_error("Timeout", f"{block.path}: {_missing(block)}{within}")
            end_block(decision, block, t.TIMED_OUT, error)


def _missing(block: BlockState) -> str:
    gate = block.block.gate
    if gate.HasField("run"):
        return f"there is no {in_words(block.awaited).removeprefix('a ')}"
    return "no answer" if gate.HasField("approval") else f"no signal {gate.signal.name!r}"


def run_missing(decision: Decision, message: RunMissing) -> None:
    """End a gate that does not wait: there is no run as it asks for."""
    block = awaited_runs.asker(decision, message)
    if block is not None and block.block.gate.run.no_wait:
        _time_over(decision, block)


def answer(decision: Decision, message: Answer) -> None:
    """Apply an answer to an approval gate."""
    block = decision.state.gates.get(message.path)
    if block is None or not block.block.gate.HasField("approval"):
        refuse(
            decision, "answer", message.path, "no approval gate is waiting there", message.requester
        )
        return
    asked = Answerer(name=message.requester, roles=message.roles)
    if problem := asked.lacks(block.block.gate, decision.state.submitter):
        refuse(decision, "answer", message.path, problem, message.requester)
        return
    decision.emit(
        gate_answered=history_pb2.GateAnswered(
            path=block.path,
            by=message.requester,
            approved=message.approved,
            comment=message.comment,
        )
    )
    _settle(
        decision,
        block,
        approved=message.approved,
        by=message.requester,
        comment=message.comment,
        values=message.values,
    )


def _settle(
    decision: Decision,
    block: BlockState,
    *,
    approved: bool,
    by: str,
    comment: str,
    values: Mapping[str, str] = NO_VALUES,
) -> None:
    fields = block.block.gate.approval.fields
    known = {each.name: each.default_json if approved else "" for each in fields} | dict(values)
    outputs = {name: text or "null" for name, text in known.items()} | {
        name: canonical.dumps(value) for name, value in _answer(approved, by, comment).items()
    }
    if approved or not block.block.gate.approval.reject_fails:
        end_block(decision, block, t.SUCCEEDED, outputs=outputs)
        return
    who = f" by {by}" if by else ""
    error = user_error("Rejected", f"{block.path}: rejected{who}: {comment}")
    end_block(decision, block, t.FAILED, error, outputs)


def _answer(approved: bool, by: str, comment: str) -> dict[str, object]:
    return {"approved": approved, "by": by, "comment": comment}


def _stop(decision: Decision, block: BlockState, status: t.Status) -> None:
    end_block(decision, block, status, stop_error(block.path, status))


def _derive(decision: Decision, block: BlockState) -> None:
    if block.due_us:
        decision.act(WatchTime(timer=Timer.GATE, path=block.path, due_us=block.due_us))
    if block.awaited is not None:
        awaited_runs.ask(decision, block)


KIND = BlockKind(start=_start, stop=_stop, derive=_derive)
