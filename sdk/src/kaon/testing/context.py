"""A step's context for unit tests: it records what the step tells Kaon."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kaon.step.artifact import Artifact
from kaon.step.call import call_function
from kaon.step.context import StepContext
from kaon.step.outputs import InvalidOutputs
from kaon.testing.mailbox import Mailbox


class RecordedContext(StepContext):
    """A `StepContext` whose step runs nowhere; `step_context` makes it.

    Args:
        document: what context.json says in a run.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        # Everything that the step told, as events of the step protocol, in order.
        self.events: list[dict[str, Any]] = []
        self._mailbox, self._sent = Mailbox(), 0
        super().__init__(document, self.events.append, self._mailbox.inbox)

    @property
    def progress_reports(self) -> list[tuple[float, str]]:
        """How far the step said that it was: fraction and message, in order."""
        return [(each["fraction"], each["message"]) for each in self._told("progress")]

    @property
    def metrics(self) -> dict[str, list[float]]:
        """The numbers that the step reported, by name, in order."""
        series: dict[str, list[float]] = {}
        for each in self._told("metric"):
            series.setdefault(each["name"], []).append(each["value"])
        return series

    @property
    def checkpoints(self) -> list[Any]:
        """The checkpoints that the step saved, in order."""
        return [each["value"] for each in self._told("checkpoint")]

    def send_signal(self, name: str, payload: Any = None) -> None:
        """Send a signal to the step, as `kaon signal RUN NAME --step PATH` does."""
        self._sent += 1
        self._mailbox.put(self._sent, name, payload)

    def call(self, function: Callable[..., Any]) -> dict[str, Any]:
        """Call a step's function with the inputs, as a runner does, and return its outputs by name.

        An artifact is the path that the function returned or wrote.

        Raises:
            InvalidOutputs: they are not what the step declares.
        """
        returned = call_function(function, self)
        produced = {name: _local(value) for name, value in returned.items()} | {
            path.name.partition(".")[0]: path for path in self._written()
        }
        if produced.keys() != self.outputs.keys():
            raise InvalidOutputs(
                f"the step gave {_names(produced)}; it declares {_names(self.outputs)}"
            )
        return produced

    def _told(self, kind: str) -> Iterator[dict[str, Any]]:
        return (each for each in self.events if each["kind"] == kind)

    def _written(self) -> list[Path]:
        directory = Path(self._document["paths"]["artifacts"])
        return sorted(directory.iterdir()) if directory.is_dir() else []


def step_context(
    inputs: Mapping[str, Any] | None = None,
    *,
    outputs: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    directory: Path | None = None,
    run_id: str = "run",
    workflow: str = "workflow",
    step: str = "step",
    tenant: str = "default",
    attempt: int = 1,
    iteration: int = 0,
    last_checkpoint: Any = None,
) -> RecordedContext:
    """Make the context of a step for a unit test.

    Args:
        inputs: by name: JSON values, and for artifacts a `Path` or an `Artifact`.
        outputs: what the step declares, by name: "int", "list", "dataset", "model", ...
        config: the static settings of the step.
        directory: where its files are; None: a temporary directory, gone with the context.
        run_id: the run.
        workflow: its workflow.
        step: the step's path, such as "regions[US]/train".
        tenant: on whose account it runs.
        attempt: 1 for the first attempt.
        iteration: of the innermost repeat; 0 outside of a repeat.
        last_checkpoint: what an earlier attempt saved.
    """
    own = directory is None
    place = Path(tempfile.mkdtemp(prefix="kaon-step-")) if directory is None else directory
    given = {name: _input(value) for name, value in (inputs or {}).items()}
    names = ("work", "outputs", "artifacts", "events", "commands")
    context = RecordedContext(
        {
            "run_id": run_id,
            "workflow": workflow,
            "step": step,
            "tenant": tenant,
            "attempt": attempt,
            "generation": attempt,
            "iteration": iteration,
            "inputs": given,
            "params": {name: value for name, value in given.items() if not _is_reference(value)},
            "config": dict(config or {}),
            "outputs": dict(outputs or {}),
            "scratch": (place / "scratch").absolute().as_uri(),
            "checkpoint": last_checkpoint,
            "paths": {name: str(place / name) for name in names},
        }
    )
    if own:
        weakref.finalize(context, shutil.rmtree, place, ignore_errors=True)
    return context


def _input(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_input(each) for each in value]
    if isinstance(value, Path):
        size = value.stat().st_size if value.is_file() else 0
        value = Artifact(
            uri=value.absolute().as_uri(), name=value.name, path=value.absolute(), size=size
        )
    if isinstance(value, Artifact):
        local = {} if value.path is None else {"path": str(value.path)}
        return {"artifact": {**value.to_reference(), **local}}
    return value


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"artifact"}


def _local(value: Any) -> Any:
    """Return an output as a test compares it: a path instead of what the runner would store."""
    return Path(value["path"]) if isinstance(value, dict) and value.keys() == {"path"} else value


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(sorted(values)) or "nothing"
