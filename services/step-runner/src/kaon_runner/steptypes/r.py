"""R steps: a script, or a function of it, in a warm R."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import kaon.helpers
from kaon_runner.steptypes import config
from kaon_runner.steptypes.base import (
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
    WorkerLaunch,
    WorkerSpec,
)


class RStepType(StepType):
    """Config: {"file": "r/train.R", "function": "train"}.

    The script is sourced in an environment of its own, with access to the helper functions of `kaon.R`. A
    function is called with the inputs as arguments, artifacts of type dataset as data frames, and returns a
    list of the outputs by name.
    """

    name = "r"

    def detect(self, settings: Settings) -> Detection:
        """Detect R and rpy2."""
        program = shutil.which("Rscript")
        if program is None or find_spec("rpy2") is None:
            return Detection(
                available=False,
                reason="install R (Debian: r-base-core) and the Python package rpy2",
            )
        told = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
        words = (told.stdout + told.stderr).split()
        version = next((word for word in words if word[0].isdigit()), "")
        return Detection(
            available=True, labels={"r": ".".join(version.split(".")[:2])}, reason=f"R {version}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        config.only(step, ("file", "function"))
        step.bundle_file(config.text(step, "file"))
        config.optional_text(step, "function")
        step.directory.create()
        step.directory.write_context(step.context_json)
        env = {
            "KAON_R_HELPER": str(Path(kaon.helpers.__file__).parent / "kaon.R"),
            # One step, one core: two cells of a foreach must not compete for all cores.
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        spec = WorkerSpec(
            key=f"r/{step.spec.code_bundle}",
            python=sys.executable,
            env=env | {"KAON_BUNDLE": str(step.bundle)},
            preload=("rpy2.robjects",),
        )
        return WorkerLaunch(
            worker=spec, target="kaon_runner.children.r:run", inputs_as_arguments=False
        )
