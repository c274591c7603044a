"""Publish steps: hand a model to the publisher and wait for its validation."""

from __future__ import annotations

import sys

from kaon_runner.errors import UserStepError
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


class PublishStepType(StepType):
    """Config: {"model_name": "recommendations"}. Inputs: `model`, an artifact, and `metrics`, a map of numbers.

    Outputs, as far as declared: `version` (int), `digest` and `reference` (text).
    """

    name = "publish"

    def detect(self, settings: Settings) -> Detection:
        """Detect the publisher's address in the settings."""
        if not settings.publisher:
            return Detection(
                available=False, reason="set KAON_PUBLISHER to the model publisher's host:port"
            )
        return Detection(available=True, reason=f"publisher at {settings.publisher}")

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        config.only(step, ("model_name",))
        config.text(step, "model_name")
        model = step.inputs.get("model")
        if not isinstance(model, dict) or model.keys() != {"artifact"}:
            raise UserStepError(
                "InvalidInput",
                f"step {step.key.path}: input model must be an artifact, it is {model!r}",
            )
        env = {"KAON_PUBLISHER": settings.publisher}
        if settings.publisher_token is not None:
            env["KAON_PUBLISHER_TOKEN"] = str(settings.publisher_token.absolute())
        spec = WorkerSpec(key="publish", python=sys.executable, env=env)
        return WorkerLaunch(
            worker=spec, target="kaon_runner.children.publish:run", inputs_as_arguments=False
        )
