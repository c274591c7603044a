"""Scala steps: a source file that is compiled once per content, or a jar, run in a JVM of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import kaon.helpers
from kaon_runner.errors import UserStepError
from kaon_runner.steptypes import config, jvm
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
)


class ScalaStepType(StepType):
    """Config: {"file": "X.scala" or "X.jar", "main": "package.Object", "jvm_options": ["-Xmx512m"]}.

    `main` may be omitted when the source has one object with a main method; a jar always needs it. The helper
    object `Kaon` is compiled into the source's package.
    """

    name = "scala"

    def detect(self, settings: Settings) -> Detection:
        """Detect Java and pyspark, whose jars include the compiler."""
        version = jvm.scala_version()
        if not version or jvm.java() is None:
            return Detection(
                available=False,
                reason="install Java 17 and the Python package pyspark, whose jars hold the compiler",
            )
        return Detection(available=True, labels={"scala": version}, reason=f"Scala {version}")

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        config.only(step, ("file", "main", "jvm_options"))
        file = step.bundle_file(config.text(step, "file"))
        main = config.optional_text(step, "main")
        if file.suffix == ".jar" and not main:
            raise UserStepError(
                "InvalidConfig",
                f'step {step.key.path}: {file.name} is a jar: give "main", the object to run',
            )
        helper = Path(kaon.helpers.__file__).parent / "Kaon.scala"
        options = config.texts(step, "jvm_options") or ("-Xmx512m",)
        cache = settings.cache_directory / "scala"
        argv = (
            sys.executable,
            "-m",
            "kaon_runner.children.scala",
            str(file),
            str(helper),
            str(cache),
            main,
            *options,
        )
        return CommandLaunch(argv=argv, grace_seconds=1.0)
