"""Python steps: a function of the code bundle, in a warm worker or in a process of its own."""

from __future__ import annotations

import os
import platform

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    WorkerLaunch,
    WorkerSpec,
)
from kaonapi.workflow.v1 import definition_pb2


class PythonStepType:
    """Config: {"entry": "module:function"}."""

    name = "python"
    # `prepare` is quick enough for the runner's loop.
    inline = True

    def detect(self, settings: Settings) -> Detection:
        """Always available: the runner itself is Python."""
        version = ".".join(platform.python_version_tuple()[:2])
        return Detection(
            available=True, labels={"python": version}, reason=f"Python {platform.python_version()}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """See `StepType`."""
        target = step.config.get("entry")
        if not isinstance(target, str) or ":" not in target:
            raise UserStepError(
                "InvalidConfig", f'step {step.key.path}: "entry" must be "module:function", it is {target!r}'
            )
        bundle = (str(step.bundle),) if step.bundle is not None else ()
        if step.spec.isolation == definition_pb2.ISOLATION_PROCESS:
            path = os.pathsep.join(filter(None, (*bundle, os.environ.get("PYTHONPATH", ""))))
            return CommandLaunch(
                argv=(settings.python, "-u", "-m", "kaon.step.main", target), env={"PYTHONPATH": path}
            )
        worker = WorkerSpec(key=f"python/{step.spec.code_bundle}", python=settings.python, sys_path=bundle)
        return WorkerLaunch(worker=worker, target=target)
