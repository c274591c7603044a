"""Spark steps: a PySpark function or script, as a client of a Spark Connect server, or with a driver of its own."""

from __future__ import annotations

import sys
import uuid

from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.steptypes import config, engine_tokens, jvm
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
)
from kaon_runner.steptypes.lease import lease_id

DRIVERS = ("connect", "classic")


class SparkStepType(StepType):
    """Config: {"entry": "module:function"} or {"file": "x.py"}, {"driver": "connect" | "classic", "conf": {...}}.

    The function receives the inputs as arguments, and `spark` (the session) and `context` when it has such
    parameters; in a script they are globals. With "connect" the step's code runs in a client process of its
    own, apart from the server's driver.
    """

    name = "spark"
    has_environments = True

    def detect(self, settings: Settings) -> Detection:
        """Detect pyspark with a Spark Connect server, or with Java for a driver of the step's own."""
        version = jvm.spark_version()
        if not version:
            return Detection(available=False, reason="install the Python package pyspark[connect]")
        if not settings.spark_connect and jvm.java() is None:
            return Detection(
                available=False, reason="set KAON_SPARK_CONNECT to a server, or install Java 17"
            )
        where = settings.spark_connect or "a driver in the step's process"
        return Detection(
            available=True, labels={"spark": version}, reason=f"Spark {version}, {where}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        config.only(step, ("entry", "file", "driver", "conf", "types"))
        config.text_map(step, "conf")
        code = config.one_of(step, "entry", "file")
        text = config.text(step, code)
        if code == "file":
            step.bundle_file(text)
        driver = step.config.get("driver") or ("connect" if settings.spark_connect else "classic")
        if driver not in DRIVERS:
            raise UserStepError(
                "InvalidConfig",
                f'step {step.key.path}: "driver" must be one of {DRIVERS}, it is {driver!r}',
            )
        if driver == "connect" and not settings.spark_connect:
            raise PlatformStepError(
                "NoSparkServer", "this runner knows no Spark Connect server: set KAON_SPARK_CONNECT"
            )
        bundle, python = str(step.bundle or ""), step.python or sys.executable
        env = {
            "KAON_CODE_PATH": bundle,
            "KAON_BUNDLE": bundle,
            "PYSPARK_PYTHON": python,
        }
        cleanup: tuple[tuple[str, ...], ...] = ()
        if driver == "connect":
            session = str(session_id(step))
            env |= {
                "KAON_SPARK_CONNECT": settings.spark_connect,
                "KAON_SPARK_SESSION": session,
                "SPARK_CONNECT_MODE_ENABLED": "1",
                **engine_tokens.environment(settings, step.spec.tenant),
            }
            cleanup = (
                (
                    sys.executable,
                    "-m",
                    "kaon_runner.children.spark_interrupt",
                    settings.spark_connect,
                    step.spec.tenant,
                    session,
                ),
            )
        argv = (python, "-u", "-m", "kaon.step.main", "kaon_runner.children.spark:run", "--whole")
        return CommandLaunch(argv=argv, env=env, cleanup=cleanup)


def session_id(step: PreparedStep) -> uuid.UUID:
    """Return the Spark Connect session of one execution: known beforehand, so that it can be ended when the client is gone."""
    return uuid.UUID(hex=lease_id(step.scratch)[:32], version=4)
