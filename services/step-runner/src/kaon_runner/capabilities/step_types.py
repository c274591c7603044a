"""Finds the installed step types, and detects which of them work on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import structlog

from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import Detection, StepType

log = structlog.get_logger(__name__)
GROUP = "kaon.step_types"
_CONTRACT = f"{StepType.__module__}.{StepType.__qualname__}"


@dataclass(frozen=True, kw_only=True)
class StepTypes:
    """The step types that this runner can execute."""

    available: Mapping[str, StepType]
    # The labels that each type detected, and "step-type.<name>": "yes" for each available type.
    labels: Mapping[str, str]
    # Why it cannot execute the other types that are installed.
    missing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def discover(cls, settings: Settings) -> StepTypes:
        """Load and detect every installed type, or those that the settings name.

        A type that cannot be loaded is logged and left out.
        """
        available: dict[str, StepType] = {}
        labels: dict[str, str] = {}
        missing: dict[str, str] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            if settings.step_types and entry.name not in settings.step_types:
                continue
            step_type, detection = detected(entry, settings)
            log.info(
                "step type detected",
                type=entry.name,
                available=detection.available,
                reason=detection.reason,
            )
            if step_type is not None and detection.available:
                available[step_type.name] = step_type
                labels |= {**detection.labels, f"step-type.{step_type.name}": "yes"}
            else:
                missing[entry.name] = detection.reason
        return cls(available=available, labels=labels, missing=missing)


def detected(entry: EntryPoint, settings: Settings) -> tuple[StepType | None, Detection]:
    """Load the type of an entry point and return it with its detection; no type when loading fails."""
    try:
        step_type = entry.load()()
        if not isinstance(step_type, StepType):
            raise TypeError(f"{entry.value} is no step type: it must inherit from {_CONTRACT}")
        return step_type, step_type.detect(settings)
    except Exception as error:
        log.exception("step type cannot be loaded", type=entry.name)
        return None, Detection(available=False, reason=f"cannot be loaded: {error}")
