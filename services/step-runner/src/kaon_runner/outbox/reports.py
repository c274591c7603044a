"""The events that a runner reports, and the failures that ends of processes mean."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.supervision.child import Ending, Exhausted, signal_name
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaonapi.step.v1 import step_pb2

USER = step_pb2.ERROR_CLASS_USER
SKIP = step_pb2.ERROR_CLASS_SKIP
PLATFORM = step_pb2.ERROR_CLASS_PLATFORM
_DETAILS_LIMIT = 8000
_MESSAGE_LIMIT = 4000
_TYPE_LIMIT = 200
_BASES_LIMIT = 20
# Exceptions of parsing a malformed line of a step's event channel.
MALFORMED = (ValueError, KeyError, TypeError, OverflowError, RecursionError, KaonError)


def event(key: step_pb2.StepKey, **what: Any) -> step_pb2.StepEvent:
    """Return an event of the current time; `what` is the one field of the oneof."""
    return step_pb2.StepEvent(key=key, time_us=time.time_ns() // 1000, **what)


def failed(
    error_class: step_pb2.ErrorClass.ValueType,
    kind: str,
    message: str,
    details: str = "",
    bases: Sequence[object] = (),
    exit_code: int = 0,
) -> step_pb2.StepFailed:
    """Return a failure with bounded and encodable texts, whatever the step reports."""
    return step_pb2.StepFailed(
        error=step_pb2.StepError(
            error_class=error_class,
            type=_sendable(kind[:_TYPE_LIMIT]),
            message=_sendable(message[:_MESSAGE_LIMIT]),
            details=_sendable(details[-_DETAILS_LIMIT:]),
            type_bases=[_sendable(str(each)[:_TYPE_LIMIT]) for each in bases[:_BASES_LIMIT]],
            exit_code=exit_code,
        )
    )


def _sendable(text: str) -> str:
    """Return a text with lone surrogates escaped."""
    return text.encode(errors="backslashreplace").decode()


def from_exception(error: BaseException) -> step_pb2.StepFailed:
    """Return the step's failure for an exception of the runner's own code."""
    if isinstance(error, UserStepError):
        return failed(USER, error.kind, str(error), error.details)
    if isinstance(error, PlatformStepError):
        return failed(PLATFORM, error.kind, str(error), error.details)
    return failed(PLATFORM, type(error).__name__, f"the runner failed on this step: {error}")


def from_error_event(message: Mapping[str, Any]) -> step_pb2.StepFailed:
    """Return the failure that a step reported about itself."""
    error_class = USER if message.get("user", True) else PLATFORM
    if message.get("skip"):
        error_class = SKIP
    code = message.get("exit_code")
    return failed(
        error_class,
        str(message.get("type", "Error")),
        str(message.get("message", "")),
        str(message.get("traceback", "")),
        bases if isinstance(bases := message.get("bases"), list) else (),
        code & 0xFF if isinstance(code, int) else 0,
    )


def from_ending(ending: Ending, stderr: str) -> step_pb2.StepFailed:
    """Return the failure that the unsuccessful end of a process means."""
    if ending.reason in ("deadline", "orphaned"):
        return failed(
            PLATFORM,
            "LeaseExpired",
            "the runner could not renew the lease in time, so the step was ended",
            stderr,
        )
    if ending.reason == "lost":
        return failed(
            PLATFORM,
            "SupervisorLost",
            "the supervisor of the step was killed, so the step was ended",
            stderr,
        )
    if ending.exhausted is not None:
        return failed(USER, "OutOfMemory", _exhausted(ending.exhausted), stderr)
    if ending.before_start:
        return failed(USER, "CannotStart", _not_started(ending, stderr), stderr)
    if ending.signal is not None:
        name = signal_name(ending.signal)
        return failed(USER, "Signal", f"the step was ended by {name}", stderr)
    if ending.code == 0:
        text = "the step's process ended with exit code 0 (by os._exit, or a library did) before the step gave a result"
        return failed(USER, "ExitCode", text, stderr)
    text = f"the step ended with exit code {ending.code}"
    return failed(USER, "ExitCode", text, stderr, exit_code=ending.code or 0)


def _not_started(ending: Ending, stderr: str) -> str:
    how = (
        f"by {signal_name(ending.signal)}"
        if ending.signal is not None
        else f"with exit code {ending.code}"
    )
    last = stderr.rstrip().rpartition("\n")[2]
    return f"the process for the step ended {how} each time before it could begin" + (
        f": {last}" if last else ""
    )


def _exhausted(memory: Exhausted) -> str:
    if memory.limit_bytes == 0:
        return "the kernel killed the step because the machine had no memory left: ask for what it needs, so that it finds room"
    return (
        f"the kernel killed the step when it had used all of its memory: its limit is {_mib(memory.limit_bytes)}, "
        f"its peak was {_mib(memory.peak_bytes)}; ask for more, or use less"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def from_protocol(key: step_pb2.StepKey, message: Mapping[str, Any]) -> step_pb2.StepEvent | None:
    """Return the event for a line of the step's event channel; None when nothing of it is reported.

    Raises one of MALFORMED when the line does not follow the protocol.
    """
    match message["kind"]:
        case "progress":
            progress = step_pb2.StepProgress(
                fraction=float(message.get("fraction", -1.0)),
                message=str(message.get("message", ""))[:1000],
            )
            return event(key, progress=progress)
        case "metric":
            return event(
                key,
                metric=step_pb2.StepMetric(
                    name=str(message["name"]),
                    value=float(message["value"]),
                    step=int(message.get("step", 0)),
                    # Older helpers, as images may hold them, send a step of 0 where none is given.
                    step_given=message.get("step_given") is True,
                ),
            )
        case "checkpoint":
            text = canonical.dumps(message["value"])
            return event(key, checkpointed=step_pb2.StepCheckpointed(checkpoint_json=text))
    raise ValueError(f"unknown kind {message['kind']!r}")
