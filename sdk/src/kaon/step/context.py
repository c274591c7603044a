"""The context of one execution of a step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from kaon.step import natives
from kaon.step.artifact import revive
from kaon.step.outputs import named
from kaon.step.signals import Inbox, Signal

Emit: TypeAlias = Callable[[dict[str, Any]], None]

_CHECKPOINT_LIMIT_BYTES = 64 * 1024
_METRIC_NAME_CHARACTERS = 200
# No signal has this name: whoever waits for it waits for the end.
_NO_SIGNAL = "\0"


class StepCancelled(BaseException):
    """Raised in a step that has been cancelled and does not watch `context.cancelled` itself."""


class StepSkipped(BaseException):
    """Raised by `context.skip`: the step ends as skipped."""


def refuse_copy(pid: int) -> None:
    """Lets only the step's own process speak for the step.

    Raises:
        RuntimeError: this process was forked from process `pid`.
    """
    if os.getpid() != pid:
        raise RuntimeError(
            f"process {os.getpid()} was forked by the step and cannot speak for it: only process {pid}, the step's own, can "
            "report and receive"
        )


class StepContext:
    """What a step knows about itself, and how it speaks to Kaon. Thread-safe.

    Args:
        document: the content of context.json.
        emit: takes events of the step protocol.
        inbox: where signals come; None where none can come.
    """

    def __init__(self, document: Mapping[str, Any], emit: Emit, inbox: Inbox | None = None) -> None:
        self._inbox = inbox
        self._document = document
        self._emit = emit
        self._inputs: dict[str, Any] | None = None
        self._cancelled = False
        self._watched = False

    @property
    def run_id(self) -> str:
        """The run."""
        return str(self._document["run_id"])

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return str(self._document["workflow"])

    @property
    def workflow_version(self) -> str:
        """The version of the workflow, "sha256:..."; empty where the coordinator does not tell it."""
        return str(self._document.get("workflow_version", ""))

    @property
    def step(self) -> str:
        """The readable path, such as "cycle#2/regions[US]/train"."""
        return str(self._document["step"])

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return int(self._document["attempt"])

    @property
    def generation(self) -> int:
        """The lease's fencing token: higher with every new issue of the step."""
        return int(self._document["generation"])

    @property
    def lease(self) -> str:
        """Proves to Kaon's own services which lease this execution has; empty but in steps that call them, such as publish."""
        return str(self._document.get("lease", ""))

    @property
    def tenant(self) -> str:
        """On whose account the step runs."""
        return str(self._document["tenant"])

    @property
    def iteration(self) -> int:
        """The iteration of the innermost repeat, from 1; 0 outside of a repeat."""
        return int(self._document["iteration"])

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Everything that is bound to the step, by name; artifacts as `Artifact`, times as `datetime` and `timedelta`."""
        if self._inputs is None:
            kinds = self._document.get("config", {}).get("types", {})
            self._inputs = {
                name: natives.revive(value, kinds[name]) if name in kinds else revive(value)
                for name, value in self._document["inputs"].items()
            }
        return self._inputs

    @property
    def params(self) -> Mapping[str, Any]:
        """The inputs that are plain values."""
        params: Mapping[str, Any] = self._document["params"]
        return params

    @property
    def config(self) -> Mapping[str, Any]:
        """The static settings of the step."""
        config: Mapping[str, Any] = self._document["config"]
        return config

    @property
    def outputs(self) -> Mapping[str, str]:
        """The declared outputs and their types."""
        outputs: Mapping[str, str] = self._document["outputs"]
        return outputs

    @property
    def scratch(self) -> str:
        """URL of a scratch directory of this attempt's own, removed when the run ends. It does not exist until you make it."""
        return str(self._document["scratch"])

    @property
    def last_checkpoint(self) -> Any:
        """What the previous attempt saved last; None when there is nothing."""
        return self._document["checkpoint"]

    @property
    def cancelled(self) -> bool:
        """Whether the step has been asked to stop.

        A step that reads this has a few seconds from then on to end by itself. In a step that never reads it, `StepCancelled` is
        raised at once.
        """
        self._watched = True
        return self._cancelled

    @property
    def is_cancelled(self) -> bool:
        """Like `cancelled`, for the harness: asking does not mean that the step watches."""
        return self._cancelled

    @property
    def directory(self) -> Path:
        """The step's directory; it may not exist yet."""
        return Path(self._document["paths"]["work"]).parent

    @property
    def work(self) -> Path:
        """A local directory for temporary files, gone after the step."""
        return self._made("work")

    def artifact_path(self, name: str, extension: str = "") -> Path:
        """Where to write the artifact output `name`, as a file or a directory.

        Args:
            name: of the output.
            extension: what the file's name ends with, such as ".csv.gz"; steps that read the artifact find it under that name.

        Raises:
            ValueError: the step declares no such output, or that is no extension.
        """
        if name not in self.outputs:
            raise ValueError(
                f"step {self.step} declares no output {name!r}; it declares {', '.join(self.outputs) or 'none'}"
            )
        if extension and (
            not extension.startswith(".") or extension.strip(".") == "" or "/" in extension
        ):
            raise ValueError(
                f"{extension!r} is no extension: it begins with a dot and has no slash in it"
            )
        return self._made("artifacts") / f"{name}{extension}"

    def progress(self, fraction: float, message: str = "") -> None:
        """Says how far the step has come.

        Args:
            fraction: 0 to 1.
            message: in words, for people.
        """
        self._emit(
            {
                "kind": "progress",
                "fraction": min(1.0, max(0.0, float(fraction))),
                "message": str(message)[:1000],
            }
        )

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Report a number.

        Args:
            name: of the series, such as "rmse".
            value: the number.
            step: how far the step has come, such as its epoch, from 0 or 1 on; None means the number of this report.

        Raises:
            ValueError: the name has more than 200 characters.
        """
        if len(str(name)) > _METRIC_NAME_CHARACTERS:
            raise ValueError(
                f"the name of a metric has {len(str(name))} characters, the limit is {_METRIC_NAME_CHARACTERS}"
            )
        at = {} if step is None else {"step": int(step), "step_given": True}
        self._emit({"kind": "metric", "name": str(name), "value": float(value), **at})

    def signals(self) -> list[Signal]:
        """Return the messages to this step since the last call, in their order."""
        return self._inbox.take() if self._inbox is not None else []

    def wait_signal(self, name: str | None = None, timeout: float | None = None) -> Signal | None:
        """Wait for the next message of this name (None: of any name), and return it.

        Args:
            name: other messages stay for later calls.
            timeout: seconds; None waits for as long as the step may run.

        Returns:
            None when it did not come in time, or when the step is asked to stop (see `cancelled`).

        Raises:
            RuntimeError: another thread of the step waits already.
        """
        if self._inbox is None:
            raise RuntimeError("no signals reach a step here")
        return self._inbox.wait(name, timeout)

    def skip(self, why: str) -> NoReturn:
        """End the step here, as skipped: it has no outputs, fails nothing, and is not repeated.

        Args:
            why: for people.

        Raises:
            StepSkipped: always.
        """
        raise StepSkipped(str(why))

    @property
    def serves(self) -> bool:
        """Whether the step is declared with serves=True: it serves those after it, and returns no outputs."""
        return bool(self._document.get("serves", False))

    def serving(self, **outputs: Any) -> None:
        """Say that the step serves others from now on: what comes after it begins.

        The step goes on until it is asked to stop (see `cancelled`), which happens when nothing else is left to do in its scope.

        Args:
            outputs: what the step declares, by name; for artifacts a path.

        Raises:
            RuntimeError: the step is not declared with serves=True.
            InvalidOutputs: they cannot be its outputs.
        """
        if not self.serves:
            raise RuntimeError(f"step {self.step} cannot serve: declare it with serves=True")
        self._emit({"kind": "serving", "outputs": named(outputs, self.outputs)})

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait until the step is asked to stop, and return whether it was; for steps that serve in other threads or processes.

        Args:
            timeout: seconds; None waits for as long as the step may run.

        Raises:
            RuntimeError: another thread of the step waits already, for this or for a signal.
        """
        self._watched = True
        if self._inbox is None:
            raise RuntimeError("nobody asks a step to stop here")
        if not self._cancelled:
            self._inbox.wait(_NO_SIGNAL, timeout)
        return self._cancelled

    def checkpoint(self, value: Any) -> None:
        """Save a JSON value for the next attempt of the step, which reads it as `last_checkpoint`.

        Raises:
            ValueError: the value is larger than 64 KiB as JSON.
        """
        size = len(json.dumps(value))
        if size > _CHECKPOINT_LIMIT_BYTES:
            raise ValueError(
                f"a checkpoint of {size} bytes is too large: keep it under {_CHECKPOINT_LIMIT_BYTES}, the rest as files"
            )
        self._emit({"kind": "checkpoint", "value": value})

    def cancel(self) -> bool:
        """Mark the step as cancelled, for the harness. Return True when the step watches `cancelled` itself."""
        self._cancelled = True
        if self._inbox is not None:
            self._inbox.stop()
        return self._watched

    def _made(self, name: str) -> Path:
        path = Path(self._document["paths"][name])
        os.makedirs(path, exist_ok=True)
        return path
