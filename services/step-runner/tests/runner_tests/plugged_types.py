"""Step types of a package of somebody's own."""

from __future__ import annotations

from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import Detection, Launch, PreparedStep, StepType


class Least(StepType):
    """Says no more than it must."""

    name = "least"

    def detect(self, settings: Settings) -> Detection:
        return Detection(available=True, reason="needs nothing")

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        raise NotImplementedError


class Collecting(Least):
    """Brings outputs in by itself."""

    name = "collecting"

    def collect(self, step: PreparedStep, settings: Settings) -> None:
        raise NotImplementedError


class Incomplete:
    """Has the methods, but nothing that tells how they are to be called."""

    name = "incomplete"
    detect, prepare = Least.detect, Least.prepare
