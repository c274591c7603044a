"""One plain line for each fact of a run's history, for terminals that cannot redraw and for log files."""

from __future__ import annotations

from kaon.cli import words
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def line(event: history_pb2.HistoryEvent) -> str | None:
    """The fact in words; None when it is of no interest to a reader."""
    kind = event.WhichOneof("event")
    fact = getattr(event, kind) if kind is not None else None
    text = _text(fact)
    return None if text is None else f"{words.clock(event.time_us)}  {text}"


def _text(fact: object) -> str | None:
    match fact:
        case history_pb2.RunSubmitted():
            return f"run of {fact.workflow} submitted"
        case history_pb2.RunStarted():
            return "run started"
        case history_pb2.RunCancelRequested():
            return f"cancel requested{_because(fact.reason)}"
        case history_pb2.RunEnded():
            return f"run {words.status(fact.status)}{_why(fact.error)}"
        case history_pb2.BlockStarted():
            return f"{fact.path}  started" + (f" ({len(fact.keys)} cells)" if fact.keys else "")
        case history_pb2.BlockEnded():
            return f"{fact.path}  {words.status(fact.status)}{_why(fact.error)}"
    return _step_text(fact)


def _step_text(fact: object) -> str | None:
    match fact:
        case history_pb2.StepLeased():
            again = f" (attempt {fact.attempt})" if fact.attempt > 1 else ""
            return f"{fact.path}  RUNNING on {fact.runner_id}{again}"
        case history_pb2.StepReported() if fact.HasField("metric"):
            return f"{fact.path}  {fact.metric.name} = {fact.metric.value:.6g}"
        case history_pb2.StepRetryScheduled():
            return f"{fact.path}  attempt {fact.attempt} failed, tries again{_why(fact.error)}"
        case history_pb2.StepLeaseLost():
            return f"{fact.path}  lost its runner ({fact.reason}), waits for another"
        case history_pb2.StepStopRequested():
            return f"{fact.path}  stops{_because(fact.reason)}"
        case history_pb2.StepEndedEvent():
            return f"{fact.path}  {words.status(fact.status)}{_why(fact.error)}"
    return None


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _why(error: step_pb2.StepError) -> str:
    text = f"{error.type}: {error.message}" if error.type else error.message
    return f": {text.splitlines()[0]}" if text else ""
