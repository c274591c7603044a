"""Runs a whole workflow in the process of a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaon.testing.fakes import Fake
from kaon_wire.errors import KaonError
from kaon_wire.version import VERSION

if TYPE_CHECKING:
    from kaon.dsl import Workflow

# Of the entry point that runs workflows.
GROUP = "kaon.testing"
DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class FinishedStep:
    """One step of a finished run."""

    # Such as "regions[US]/train".
    path: str
    # "SUCCEEDED", "FAILED", "SKIPPED", ...
    status: str
    # The number of its last attempt.
    attempt: int
    # By name; artifacts as `Artifact`.
    outputs: Mapping[str, Any]
    # The newest value of each metric, by name.
    metrics: Mapping[str, float]
    # "ValueError: ..."; empty when it has none.
    error: str


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that has ended."""

    # "SUCCEEDED", "FAILED", ...
    status: str
    # By name; artifacts as `Artifact`, whose file a test may open.
    outputs: Mapping[str, Any]
    # "ValueError: ..."; empty when it has none.
    error: str
    # By path.
    steps: Mapping[str, FinishedStep]
    # The directory of its artifacts.
    directory: Path

    def named(self, name: str) -> list[FinishedStep]:
        """Return the steps of a name, those of all cells and iterations, by path."""
        return [self.steps[path] for path in sorted(self.steps) if path.rsplit("/", 1)[-1] == name]

    def succeeded(self) -> FinishedRun:
        """Return the run itself, when it has succeeded.

        Raises:
            AssertionError: it has not; the text names the steps that failed, and why.
        """
        if self.status == "SUCCEEDED":
            return self
        broken = [f"  {step.path}: {step.error}" for step in self.steps.values() if step.error]
        raise AssertionError("\n".join((f"the run ended {self.status}: {self.error}", *broken)))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be run, and how."""

    workflow: Workflow
    params: Mapping[str, Any]
    # By step type.
    fakes: Mapping[str, Fake]
    # What gates get: by the name of the approval, or of the signal.
    approvals: Mapping[str, bool | Mapping[str, Any]]
    signals: Mapping[str, Any]
    # By the name of the gate; None: there is no such run.
    last_runs: Mapping[str, Mapping[str, Any] | None]
    directory: Path | None
    timeout: float = DEFAULT_TIMEOUT


def run_workflow(
    workflow: Workflow,
    params: Mapping[str, Any] | None = None,
    *,
    fakes: Iterable[Fake] = (),
    approvals: Mapping[str, bool | Mapping[str, Any]] | None = None,
    signals: Mapping[str, Any] | None = None,
    last_runs: Mapping[str, Mapping[str, Any] | None] | None = None,
    directory: Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> FinishedRun:
    """Run a workflow to its end, in this process, and return what became of it.

    It is decided by the same engine as on servers. Python functions are called on threads of this process, so that a debugger,
    coverage and patches of the test reach them; fakes stand in for the types that they name; steps of other types are executed
    as `kaon run` does. What a test need not wait for is left out: pauses before retries and iterations, timers, labels,
    resources and environments of steps.

    Args:
        workflow: what to run.
        params: its parameters by name.
        fakes: stand-ins for types of steps.
        approvals: how the approvals of a name are answered; the values of its fields approve it.
        signals: payloads of signals by name; each is sent once, at the start.
        last_runs: outputs of the runs that `last_run` gates find, by the gate's name, whatever parameters it asks for; None:
            there is no such run, and the gate's time is over at once.
        directory: where artifacts and steps have their files; None: a temporary directory, gone with the result.
        timeout: seconds that the run may take.

    Raises:
        TimeoutError: it has not ended in time; the text says what it waits for.
        KaonError: the workflow cannot run here, or `kaon[run]` is not installed.
    """
    wanted = Wanted(
        workflow=workflow,
        params=params or {},
        fakes={fake.step_type: fake for fake in fakes},
        approvals=approvals or {},
        signals=signals or {},
        last_runs=last_runs or {},
        directory=directory,
        timeout=timeout,
    )
    for entry in entry_points(group=GROUP):
        finished: FinishedRun = entry.load()(wanted)
        return finished
    raise KaonError(f"run_workflow needs more than the client: pip install 'kaon[run]=={VERSION}'")
