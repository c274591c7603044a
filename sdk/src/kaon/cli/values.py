"""Values of a run as people read them in a line."""

from __future__ import annotations

from rich.text import Text

from kaon.cli import formatting
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2

_LONGEST = 60


def brief(text: str, longest: int = _LONGEST) -> str:
    """Format a value, given as canonical JSON, in a few words; an artifact by its type, digest and name."""
    value = canonical.loads(text)
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        artifact = value["artifact"]
        told = (
            artifact.get("type", "artifact"),
            str(artifact.get("digest", ""))[:15],
            artifact.get("name"),
        )
        texts = [str(each) for each in told if each]
        return " ".join(each if each.isprintable() else ascii(each) for each in texts)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def json_or_text(text: str) -> object:
    """Parse JSON; text that is not JSON stands for itself."""
    try:
        return canonical.loads(text)
    except InvalidValue:
        return text


def status_text(status: run_pb2.Status.ValueType) -> Text:
    """Return a status as text in its colour."""
    return Text(formatting.status(status), style=formatting.LOOKS[status][1])


def took(timed: run_pb2.Run | run_pb2.StepView) -> str:
    """Return the duration of a run or step that has ended; empty for others."""
    if not (timed.HasField("start_time") and timed.HasField("end_time")):
        return ""
    return formatting.duration(
        timed.end_time.ToNanoseconds() / 1e9 - timed.start_time.ToNanoseconds() / 1e9
    )


def named(run: run_pb2.Run) -> str:
    """Name the workflow of a run and the version that runs."""
    return f"{run.workflow}, version {run.version[:19]}" if run.version else run.workflow
