"""One plain line for each fact of a run's history, for terminals that cannot redraw, for log files and for `kaon history`."""

from __future__ import annotations

from kaon.cli import bound, formatting
from kaon_wire.texts import counted
from kaonapi.run.v1 import history_pb2 as h
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# Why a step is stopped, in words.
_STOPS = {
    "scope_over": "nothing needs it any more",
    "stale_lease": "what it reported has ended it",
    "timed_out": "timed out",
}
# Facts that a reader of a live run does not miss.
_QUIET = {"step_became_ready", "cell_started"}
_PHASES = {d.PHASE_ON_FAILURE: "failure hooks begin", d.PHASE_FINALLY: "final hooks begin"}


def line(event: h.HistoryEvent, told: set[str] | None = None) -> str | None:
    """Describe an event with its time; return None for one that is of no interest to a watcher.

    Args:
        event: of the history.
        told: the errors that the watcher has seen; a block that ends with one of them does not repeat it. Gets those of this event.
    """
    kind = event.WhichOneof("event")
    if kind in _QUIET or (kind == "step_reported" and not event.step_reported.HasField("metric")):
        return None
    if event.block_ended.path.endswith("/"):  # the end of the group itself follows
        return None
    if told is not None and kind in ("step_ended", "block_ended"):
        error = formatting.error(getattr(event, kind).error)
        if kind == "block_ended" and error in told:
            event = h.HistoryEvent.FromString(event.SerializeToString())
            event.block_ended.ClearField("error")
        told.add(error)
    text = describe(event)
    return None if text is None else f"{formatting.clock(event.time_us)}  {text}"


def details(event: h.HistoryEvent) -> str:
    """Return the traceback, or what else is known of the failure that an event of a step tells; empty for others."""
    match event.WhichOneof("event"):
        case "step_ended":
            return event.step_ended.error.details
        case "step_retry_scheduled":
            return event.step_retry_scheduled.error.details
    return ""


def describe(event: h.HistoryEvent) -> str | None:
    """Describe an event; return None for one that this version does not know."""
    kind = event.WhichOneof("event")
    fact = getattr(event, kind) if kind is not None else None
    texts = (_run_text, _block_text, _step_text, _breakpoint_text, _command_text)
    return next((told for text in texts if (told := text(fact))), None)


def _run_text(fact: object) -> str | None:
    match fact:
        case h.RunSubmitted():
            return f"run of {fact.workflow} submitted{_by(fact.submitter)}{_from(fact)}"
        case h.RunStarted():
            return "run started"
        case h.RunCancelRequested():
            return f"cancel requested{_by(fact.requester)}{_because(fact.reason)}"
        case h.DefinitionChanged():
            news = (("new", fact.added), ("gone", fact.removed), ("begins anew", fact.paths))
            told = "".join(f"; {what}: {', '.join(names)}" for what, names in news if names)
            return (
                f"goes on with version {fact.to_version[:19]}, not {fact.from_version[:19]}{told}"
            )
        case h.RunPaused():
            return f"run paused{_by(fact.requester)}{_because(fact.reason)}"
        case h.RunResumed():
            return f"run resumed{_by(fact.requester)}{_because(fact.reason)}"
        case h.RunPriorityChanged():
            return f"priority is {fact.priority}{_by(fact.requester)}"
        case h.RunEnded():
            given = "".join(
                f"  {name} = {text}" for name, text in sorted(fact.outputs_json.items())
            )
            return f"run {formatting.status(fact.status)}{_why(fact.error)}{given}"
    return None


def _from(fact: h.RunSubmitted) -> str:
    if fact.HasField("fork"):
        return f", forked from event {fact.fork.seq} of run {fact.fork.run_id}"
    if fact.parent.run_id:
        return f", part of run {fact.parent.run_id} ({fact.parent.path})"
    return f", from {fact.origin}" if fact.origin else ""


def _block_text(fact: object) -> str | None:
    match fact:
        case h.BlockStarted():
            count = fact.count or len(fact.keys)
            return f"{fact.path}  started" + (f" ({counted(count, 'cell')})" if count else "")
        case h.CellStarted():
            return f"{_cell(fact.path)}  begins" + (
                f" with {fact.item_json}" if fact.item_json else ""
            )
        case h.BlockEnded():
            memo = f", reused from run {fact.memo.run_id}" if fact.HasField("memo") else ""
            return f"{_cell(fact.path)}  {formatting.status(fact.status)}{memo}{_why(fact.error)}"
        case h.PhaseStarted():
            scope = f"{fact.scope.rstrip('/')}  " if fact.scope else ""
            return f"{scope}{_PHASES.get(fact.phase, 'goes on')} after {formatting.status(fact.status)}{_why(fact.error)}"
        case h.PassScheduled():
            return f"{fact.block}  waits until {formatting.clock(fact.due_us)} for iteration {fact.number}"
        case h.PoliciesBound():
            given = fact.values_json
            return f"{fact.path}  gets {bound.values(bound.kind_of(given), given)}"
        case h.LocksTaken():
            return f"{fact.path}  holds {', '.join(fact.locks)}"
        case h.ChildRunStarted():
            verb = "goes on as" if fact.continued else "begins" if fact.detached else "is"
            return f"{fact.path}  {verb} run {fact.child_run_id} of {fact.workflow}"
        case h.DeadlineMissed():
            return (
                f"{fact.path or 'run'}  is late: it was due at {formatting.clock(fact.deadline_us)}"
            )
    return None


def _step_text(fact: object) -> str | None:
    match fact:
        case h.StepBecameReady():
            return f"{fact.path}  READY, attempt {fact.attempt}, generation {fact.generation}"
        case h.StepLeased():
            again = f" (attempt {fact.attempt})" if fact.attempt > 1 else ""
            follows = ", started by succession" if fact.succession else ""
            return f"{fact.path}  RUNNING on {fact.runner_id}{again}{follows}"
        case h.StepServing():
            given = "".join(
                f"  {name} = {text}" for name, text in sorted(fact.outputs_json.items())
            )
            return f"{fact.path}  SERVING{given}"
        case h.StepReported() if fact.HasField("metric"):
            at = (
                f" at step {fact.metric.step}" if fact.metric.step or fact.metric.step_given else ""
            )
            return f"{fact.path}  {fact.metric.name} = {fact.metric.value:.6g}{at}"
        case h.StepReported():
            return f"{fact.path}  saved a checkpoint"
        case h.StepRetryScheduled():
            return f"{fact.path}  attempt {fact.attempt} failed, retrying{_why(fact.error)}"
        case h.StepLeaseLost():
            return f"{fact.path}  lost its runner ({fact.reason}), waits for another"
        case h.StepStopRequested():
            return f"{fact.path}  stops{_because(_STOPS.get(fact.reason, fact.reason))}"
        case h.StepEndedEvent():
            memo = f", reused from run {fact.memo.run_id}" if fact.HasField("memo") else ""
            made = "".join(map(_updated, sorted(fact.datasets.items())))
            return f"{fact.path}  {formatting.status(fact.status)}{memo}{made}{_why(fact.error)}"
    return None


def _updated(dataset: tuple[str, str]) -> str:
    name, partition = dataset
    return f", updates dataset {name}{f' partition {partition}' if partition else ''}"


def _breakpoint_text(fact: object) -> str | None:
    match fact:
        case h.BreakpointSet():
            return (
                f"{fact.step}  waits before it starts{_by(fact.requester)}{_because(fact.reason)}"
            )
        case h.BreakpointReached():
            return f"{fact.path}  waits at a breakpoint"
        case h.BreakpointPassed():
            return f"{fact.step}  goes on past its breakpoint{_by(fact.requester)}{_because(fact.reason)}"
    return None


def _command_text(fact: object) -> str | None:
    match fact:
        case h.BlocksReset() if not fact.paths:
            return f"goes on{_by(fact.requester)}{_because(fact.reason)}"
        case h.BlocksReset():
            return f"{fact.cause} of {', '.join(fact.paths)}{_by(fact.requester)}{_because(fact.reason)}"
        case h.BlockStopRequested():
            why = _because(fact.reason or fact.cause.replace("_", " "))
            return f"{fact.path.rstrip('/') or 'run'}  stops, {formatting.status(fact.status)}{_by(fact.requester)}{why}"
        case h.BlockMarked():
            return f"{fact.path}  marked {formatting.status(fact.status)}{_by(fact.requester)}{_because(fact.reason)}"
        case h.GateAnswered() if fact.signal:
            return f"{fact.path}  took signal {fact.signal}{_by(fact.by)}"
        case h.GateAnswered() if fact.run_id:
            return f"{fact.path}  took run {fact.run_id}"
        case h.GateAnswered():
            word = "approved" if fact.approved else "rejected"
            return f"{fact.path}  {word}{_by(fact.by)}{_because(fact.comment)}"
        case h.SignalReceived():
            at = f"{fact.path}  " if fact.path else ""
            return f"{at}signal {fact.name} received{_by(fact.requester)}: {fact.payload_json or 'null'}"
        case h.CommandRefused():
            at = f" of {fact.path}" if fact.path else ""
            return f"{fact.command}{at} refused{_by(fact.requester)}: {fact.problem}"
    return None


def _cell(path: str) -> str:
    """Format the path of a cell: a slash distinguishes the body of a group from the group."""
    return f"body of {path.rstrip('/')}" if path.endswith("/") else path


def _by(who: str) -> str:
    return f" by {who}" if who else ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _why(error: step_pb2.StepError) -> str:
    text = formatting.error(error)
    return f": {formatting.indented(text)}" if text else ""
