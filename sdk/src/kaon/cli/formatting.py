"""Formats statuses, times and sizes for people."""

from __future__ import annotations

import shlex
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

from kaon_wire.texts import counted
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

_S = run_pb2

# Sign and colour.
LOOKS: dict[run_pb2.Status.ValueType, tuple[str, str]] = {
    _S.STATUS_UNSPECIFIED: ("·", "dim"),
    _S.STATUS_PENDING: ("·", "dim"),
    _S.STATUS_READY: ("◌", "cyan"),
    _S.STATUS_RUNNING: ("●", "blue"),
    _S.STATUS_SERVING: ("◉", "blue"),
    _S.STATUS_SUCCEEDED: ("✓", "green"),
    _S.STATUS_FAILED: ("✗", "bold red"),
    _S.STATUS_SKIPPED: ("-", "dim"),
    _S.STATUS_CANCELLING: ("◍", "yellow"),
    _S.STATUS_CANCELLED: ("⊘", "yellow"),
    _S.STATUS_TIMED_OUT: ("✗", "bold red"),
    _S.STATUS_QUARANTINED: ("✗", "bold red"),
    _S.STATUS_WAITING: ("◌", "magenta"),
    _S.STATUS_PAUSED: ("‖", "magenta"),
}


_STREAMS = {log_pb2.STREAM_STDERR: "yellow", log_pb2.STREAM_SYSTEM: "magenta"}


def error(told: step_pb2.StepError) -> str:
    """Format an error in full, without its traceback; empty for none."""
    if told.type in {"", "Skipped"}:
        # Why something was skipped is no error: its status says it.
        return told.message
    return f"{told.type}: {told.message}"


def indented(text: str, by: str = "    ") -> str:
    """Indent every line but the first."""
    return f"\n{by}".join(text.splitlines())


def log_line(path: str, line: log_pb2.LogLine) -> Text:
    """Format a line that a step has printed, with the step as prefix."""
    # A step that has said half a line for long: the other half has a number of its own.
    mark = " > " if line.continues else " | "
    told = Text.assemble(
        (f"{clock(line.time_us)}  ", "dim"),
        (path, "cyan"),
        (mark, "dim"),
        # Colours pass, and other sequences that control a terminal do not.
        Text.from_ansi(line.text, style=_STREAMS.get(line.stream, "")),
    )
    if line.size_bytes:
        shown = len(line.text.encode())
        told.append(
            f" [line {line.sequence} has {line.size_bytes} bytes, of which {shown} are shown: --whole prints all]",
            style="red",
        )
    return told


def log_gap(lines: log_pb2.LogLines) -> str:
    """Describe the lines that are not there before others, and how to get them."""
    key, gap = lines.key, lines.gap
    missing = gap.last_sequence - gap.first_sequence + 1
    return (
        f"{key.path}: {counted(missing, 'line')} left out, {gap.first_sequence} to {gap.last_sequence}. "
        f"When the attempt has ended, print them with: "
        f"kaon logs {key.run_id} {shlex.quote(key.path)} --whole --attempt {key.attempt}"
    )


def status(value: run_pb2.Status.ValueType) -> str:
    """Format a status: SUCCEEDED."""
    return run_pb2.Status.Name(value).removeprefix("STATUS_")


def parse_status(text: str) -> run_pb2.Status.ValueType | None:
    """Parse the name of a status; return None when there is no such status."""
    name = f"STATUS_{text.upper()}"
    return run_pb2.Status.Value(name) if name in set(run_pb2.Status.keys()) else None


def duration(seconds: float) -> str:
    """Format a duration: 0.4s, 12s, 3m05s, 2h07m."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"


def zone() -> str:
    """Name the local zone, in which all times are shown."""
    return datetime.now().astimezone().tzname() or "local time"


def moment(time: Timestamp) -> str:
    """Format a time with its date in the local zone and the name of that; empty for no time."""
    if not time.seconds:
        return ""
    local = datetime.fromtimestamp(time.seconds).astimezone()
    return f"{moment_in_column(time)} {local.tzname() or 'local time'}"


def moment_in_column(time: Timestamp) -> str:
    """Format a time with its date in the local zone, for a column whose heading names the zone; empty for no time."""
    if not time.seconds:
        return ""
    return datetime.fromtimestamp(time.seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(time_us: int) -> str:
    """Format a time of day in the local zone."""
    return datetime.fromtimestamp(time_us / 1e6).astimezone().strftime("%H:%M:%S")


def size(count: int) -> str:
    """Format a number of bytes."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
