"""What a Python step's code may use: the context of its execution, and artifacts.

    def train(context: StepContext, ratings: Artifact, rank: int) -> dict:
        context.progress(0.5, "half way")
        model = context.artifact_path("model")
        ...
        return {"rmse": 0.92}

Standard library only, so that a step starts fast.
"""

from kaon.step.artifact import Artifact
from kaon.step.context import StepCancelled, StepContext, StepSkipped
from kaon.step.signals import Signal

__all__ = ["Artifact", "Signal", "StepCancelled", "StepContext", "StepSkipped"]
