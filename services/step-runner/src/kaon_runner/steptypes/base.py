"""The interface of step types: detection of a machine's capabilities, and the launch of a prepared step.

A step type is a class without arguments, named by an entry point of group `kaon.step_types`. Its methods are
called from several threads, so any state must be guarded. `prepare` must return within about a second and
start nothing that outlives the call: slow work (compiling, connecting, waiting) belongs into the launched
process, where the supervisor can end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.settings import Settings
from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

__all__ = [
    "CommandLaunch",
    "Detection",
    "Launch",
    "PlatformStepError",
    "PreparedStep",
    "Settings",
    "StepDirectory",
    "StepType",
    "UserStepError",
    "WorkerLaunch",
    "WorkerSpec",
]

# TERM to KILL, seconds.
DEFAULT_GRACE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The result of a step type's detection on this machine."""

    available: bool
    # Labels for workflows, such as {"spark": "4.3"}. The runner adds {"step-type.<name>": "yes"} itself when
    # available.
    labels: Mapping[str, str] = field(default_factory=dict)
    # Why it is not available, and what to install or set; or what was found.
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PreparedStep:
    """One lease, ready to launch: inputs and artifacts are fetched, code is unpacked."""

    key: step_pb2.StepKey
    spec: step_pb2.StepSpec
    # Not on disk until `directory.create()`. The runner creates it before a CommandLaunch; call it before you write files in
    # `prepare`.
    directory: StepDirectory
    # The content of context.json, as text. See `context`.
    context_json: str
    # Root of the unpacked code bundle (read-only); None when the workflow has none.
    bundle: Path | None
    # URL of this lease's own scratch directory, not created yet. The coordinator removes it when the run
    # ends.
    scratch: str
    # The interpreter of the step's own environment; empty when it runs in the runner's.
    python: str = ""
    # The step's need.
    resources: definition_pb2.Resources = field(default_factory=definition_pb2.Resources)

    @cached_property
    def context(self) -> Mapping[str, Any]:
        """Return the content of context.json: "params", "inputs" (flat, by name), "outputs", "config", "scratch", "paths", ...

        Artifact inputs are {"artifact": {"uri", "digest", "type", "size", "name", "path"}}, "path" being the
        local copy.
        """
        context: Mapping[str, Any] = canonical.loads(self.context_json)
        return context

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the static settings that the workflow gives for this step; equal settings are shared."""
        return _config(self.spec.config_json)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Return all inputs of the step, by name."""
        inputs: Mapping[str, Any] = self.context["inputs"]
        return inputs

    @property
    def copies(self) -> tuple[Path, ...]:
        """Return the local copies of the artifacts among the inputs."""
        # Most steps have none, and reading all inputs takes time.
        return (
            tuple(_copies_in(list(self.inputs.values())))
            if '"artifact"' in self.context_json
            else ()
        )

    def bundle_file(self, name: str) -> Path:
        """Return the path of a file of the code bundle that the workflow names.

        Raises:
            UserStepError: There is no bundle, no such file, or the path leads out of the bundle.
        """
        if self.bundle is None:
            raise UserStepError(
                "MissingFile",
                f"step {self.key.path} names {name!r}, but the workflow has no code bundle",
            )
        path = (self.bundle / name).resolve()
        if not path.is_relative_to(self.bundle.resolve()) or not path.exists():
            raise UserStepError(
                "MissingFile",
                f"step {self.key.path} names {name!r}, which the code bundle does not have",
            )
        return path


def _copies_in(value: Any) -> Iterator[Path]:
    if isinstance(value, list):
        for each in value:
            yield from _copies_in(each)
    elif isinstance(value, dict) and value.keys() == {"artifact"} and value["artifact"].get("path"):
        yield Path(value["artifact"]["path"])


@lru_cache(maxsize=256)
def _config(text: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = canonical.loads(text) if text else {}
    return config


@dataclass(frozen=True, kw_only=True)
class CommandLaunch:
    """A process of its own for this step, following the step protocol.

    The runner creates the step directory, writes context.json and adds KAON_STEP_DIR to the environment.
    """

    argv: tuple[str, ...]
    # Added to the runner's environment.
    env: Mapping[str, str] = field(default_factory=dict)
    # None: the step's work directory.
    cwd: Path | None = None
    # Commands that the SUPERVISOR runs after the processes are gone when the step did not end by itself
    # (cancel, time-out, lost lease, dead runner, a foreign signal), one after the other, 10 s each, such as
    # ("docker", "rm", "-f", NAME). Failures are logged, not reported.
    cleanup: tuple[tuple[str, ...], ...] = ()
    # Seconds between TERM and KILL.
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    # Whether the processes are kept within the step's resources. False: they only wait for processes
    # elsewhere, which are.
    bounded: bool = True


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """A kind of warm Python process; steps with equal specs share processes, one step at a time."""

    # Identity of the loaded code, such as "python/<bundle digest>" or "r/<bundle digest>".
    key: str
    python: str
    env: Mapping[str, str] = field(default_factory=dict)
    # Modules imported before the first step arrives, such as "rpy2.robjects".
    preload: tuple[str, ...] = ()
    # Prepended to sys.path, the code bundle for example.
    sys_path: tuple[str, ...] = ()
    # Seconds between TERM and KILL.
    grace_seconds: float = DEFAULT_GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class WorkerLaunch:
    """A function called in a warm Python process.

    It is called as `function(**inputs)`, with `context` (a `kaon.step.StepContext`) added if it has a
    parameter of that name, and returns its outputs by name (a dict; None if there are none or all were
    written as files). When the step is cancelled, the process is killed with all of its descendants.
    """

    worker: WorkerSpec
    # "module:function".
    target: str
    # False: the function is called as `function(context)` whatever its parameters are; for adapters such as R's.
    inputs_as_arguments: bool = True


Launch: TypeAlias = CommandLaunch | WorkerLaunch


@runtime_checkable
class StepType(Protocol):
    """One kind of step. A type inherits from this class, including its defaults."""

    # The name in workflows.
    name: str
    # Whether `prepare` is quick enough for the runner's loop, which it blocks.
    inline: bool = False
    # Whether steps may have an environment of their own, which `PreparedStep.python` names. Steps of other
    # types must not require one.
    has_environments: bool = False
    # A method called between a successful end and the check of the outputs: it brings outputs into the step's
    # directory, and raises as `prepare` does. None: no such method.
    collect: Callable[[PreparedStep, Settings], None] | None = None

    def detect(self, settings: Settings) -> Detection:
        """Detect whether this machine can run such steps.

        Called once at start; quick (under 2 s); never raises for missing software.
        """

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step.

        Raises:
            UserStepError: The step's settings or inputs are wrong; the attempt fails with class USER.
            PlatformStepError: A service of the platform is missing; class PLATFORM.
        """
