"""A run in the hand: what notebooks and programs do with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from kaon.client import html, stopping
from kaon.client.artifacts import Artifacts
from kaon.client.errors import Conflict, KaonError
from kaon.step.artifact import Artifact
from kaon_wire import canonical
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_pb2, run_service_pb2


class RunFailed(KaonError):
    """A run whose result was wanted has not succeeded; the message says why.

    Attributes:
        run: the run as it ended.
    """

    def __init__(self, run: run_pb2.Run) -> None:
        error = f": {run.error.type}: {run.error.message}" if run.HasField("error") else ""
        super().__init__(f"run {run.run_id} of {run.workflow} ended {status_name(run)}{error}")
        self.run = run


@dataclass(frozen=True, kw_only=True)
class PrintedLine:
    """A line that a step has printed."""

    # Path of the step.
    path: str
    attempt: int
    # When its runner read it.
    time: datetime
    text: str

    def __str__(self) -> str:
        return f"{self.path} | {self.text}"


class Runs(Protocol):
    """What a handle asks of the client."""

    @property
    def artifacts(self) -> Artifacts:
        """What runs produced."""

    def run(self, run_id: str) -> run_service_pb2.GetRunResponse:
        """Return a run with its steps."""

    def summary(self, run_id: str) -> run_pb2.Run:
        """Return how it stands."""

    def until_ended(self, run_id: str) -> run_pb2.Run:
        """Return how it stands when it has ended."""

    def logs(
        self, run_id: str, path: str = "", *, follow: bool = False
    ) -> Iterator[log_pb2.LogLines]:
        """Yield what its steps print."""

    def metrics(self, run: str) -> list[dict[str, Any]]:
        """Return what its steps measured."""

    def cancel(self, run_id: str, reason: str = "") -> run_pb2.Run:
        """Ask it to stop."""


class RunHandle:
    """A run; `Client.submit` and `Client.handle` give it.

        run = client.submit(workflow, {"rows": 30})
        run.wait().outputs["score"]

    In a notebook it shows itself: its status, parameters and steps, as they are then.

    Args:
        client: asks the coordinator.
        submitted: the run as it was submitted, and whether that made a new one.
    """

    def __init__(self, client: Runs, submitted: run_service_pb2.SubmitRunResponse) -> None:
        self._client = client
        self.response = submitted
        # As far as it is known.
        self.run = submitted.run

    def __repr__(self) -> str:
        return f"RunHandle({self.run.run_id!r}, {self.run.workflow!r}, {status_name(self.run)})"

    def _repr_html_(self) -> str:
        found = self._client.run(self.run_id)
        self.run = found.run
        return html.page(found, {name: python_value(text) for name, text in _outputs(self.run)})

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    @property
    def created(self) -> bool:
        """Whether the submission made it; with a key that was used before, it did not."""
        return self.response.created

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters by name, with the defaults."""
        # Of a run that was submitted with others its id is known and little else.
        run = self.run if self.run.HasField("create_time") else self.refresh()
        return {name: python_value(text) for name, text in sorted(run.params_json.items())}

    @property
    def status(self) -> str:
        """How it stands now, such as "RUNNING" or "SUCCEEDED"."""
        return status_name(self.run if self._has_ended() else self.refresh())

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What it gives, by name; an artifact is an `Artifact`, which `download` fetches.

        Raises:
            Conflict: it has not ended.
            RunFailed: it has ended otherwise than SUCCEEDED.
        """
        if not self._has_ended():
            self.refresh()
        if not self._has_ended():
            raise Conflict(
                f"run {self.run_id} is {status_name(self.run)} and gives nothing yet: wait() for it"
            )
        if self.run.status != run_pb2.STATUS_SUCCEEDED:
            raise RunFailed(self.run)
        return {name: python_value(text) for name, text in _outputs(self.run)}

    @property
    def steps(self) -> Sequence[run_pb2.StepView]:
        """Its steps as they stand now."""
        return self._client.run(self.run_id).steps

    def refresh(self) -> run_pb2.Run:
        """Ask how it stands, and return that."""
        self.run = self._client.summary(self.run_id)
        return self.run

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until it has ended, however it does; Ctrl-C ends the waiting, not the run.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: it has not ended in time. It goes on.
        """
        try:
            with stopping.after(timeout):
                self.run = self._client.until_ended(self.run_id)
        except stopping.Stopped:
            raise TimeoutError(
                f"run {self.run_id} has not ended within {timeout:g} s; it goes on"
            ) from None
        return self

    def result(self, timeout: float | None = None) -> Mapping[str, Any]:
        """Wait until it has ended, and return its outputs.

        Raises:
            TimeoutError: it has not ended within so many seconds.
            RunFailed: it has ended otherwise than SUCCEEDED.
        """
        return self.wait(timeout).outputs

    def logs(self, path: str = "", *, follow: bool = False) -> Iterator[PrintedLine]:
        """Yield what its steps printed, those at or under `path`; with `follow` live, until it has ended."""
        for lines in self._client.logs(self.run_id, path, follow=follow):
            key = lines.key
            for line in lines.lines:
                time = datetime.fromtimestamp(line.time_us / 1e6, UTC)
                yield PrintedLine(path=key.path, attempt=key.attempt, time=time, text=line.text)

    def metrics(self) -> list[dict[str, Any]]:
        """Return every number that its steps reported, one record each; `pandas.DataFrame` takes them."""
        return self._client.metrics(self.run_id)

    def download(self, path: str = "", output: str = "", *, to: Path | None = None) -> Path:
        """Copy one of its artifacts to a file or directory; arguments as for `Client.artifacts.download`."""
        return self._client.artifacts.download(self.run_id, path, output, to=to)

    def cancel(self, reason: str = "") -> run_pb2.Run:
        """Ask it to stop."""
        self.run = self._client.cancel(self.run_id, reason)
        return self.run

    def _has_ended(self) -> bool:
        return self.run.HasField("end_time")


def status_name(run: run_pb2.Run | run_pb2.StepView) -> str:
    """Return the status as text, such as "RUNNING"."""
    return html.status_text(run.status)


def python_value(text: str) -> Any:
    """Return the Python value of canonical JSON, with an `Artifact` in place of each reference."""
    return _revived(canonical.loads(text))


def _outputs(run: run_pb2.Run) -> list[tuple[str, str]]:
    return sorted(run.outputs_json.items())


def _revived(value: Any) -> Any:
    if isinstance(value, list):
        return [_revived(each) for each in value]
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        return Artifact.from_reference(value["artifact"])
    return value
