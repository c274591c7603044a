"""Python steps: a function of the code bundle, in a warm worker or in a process of its own."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
    WorkerLaunch,
    WorkerSpec,
)
from kaonapi.workflow.v1 import definition_pb2


class PythonStepType(StepType):
    """Config: {"entry": "module:function"}."""

    name = "python"
    # `prepare` is quick enough for the runner's loop.
    inline = True
    has_environments = True

    def detect(self, settings: Settings) -> Detection:
        """Detect Python, which is always available: the runner runs on it."""
        version = ".".join(platform.python_version_tuple()[:2])
        return Detection(
            available=True, labels={"python": version}, reason=f"Python {platform.python_version()}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        target = step.config.get("entry")
        if not isinstance(target, str) or ":" not in target:
            raise UserStepError(
                "InvalidConfig",
                f'step {step.key.path}: "entry" must be "module:function", it is {target!r}',
            )
        bundle = (str(step.bundle),) if step.bundle is not None else ()
        python = step.python or settings.python
        if step.spec.isolation == definition_pb2.ISOLATION_PROCESS:
            return CommandLaunch(
                argv=(python, "-u", "-m", "kaon.step.main", target),
                env={"KAON_CODE_PATH": os.pathsep.join(bundle)},
            )
        return WorkerLaunch(
            worker=worker_of(step.spec.code_bundle, step.bundle, python), target=target
        )


@lru_cache(maxsize=256)
def worker_of(digest: str, bundle: Path | None, python: str) -> WorkerSpec:
    """Return the kind of process that runs functions of a code bundle."""
    path = (str(bundle),) if bundle is not None else ()
    return WorkerSpec(key=f"python/{digest}", python=python, sys_path=path)
