"""Checks the static settings that a workflow gives for a step."""

from __future__ import annotations

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes.base import PreparedStep


def text(step: PreparedStep, name: str) -> str:
    """A setting that must be text.

    Raises:
        UserStepError: it is missing or something else.
    """
    value = step.config.get(name)
    if not isinstance(value, str) or not value:
        raise UserStepError("InvalidConfig", f'step {step.key.path}: "{name}" must be text, it is {value!r}')
    return value


def optional_text(step: PreparedStep, name: str) -> str:
    """A setting that may be missing: then it is empty."""
    return text(step, name) if step.config.get(name) is not None else ""


def one_of(step: PreparedStep, *names: str) -> str:
    """The name of the one setting among `names` that is given.

    Raises:
        UserStepError: none is, or several are.
    """
    given = [name for name in names if step.config.get(name) is not None]
    if len(given) != 1:
        wanted = " or ".join(f'"{name}"' for name in names)
        raise UserStepError(
            "InvalidConfig", f"step {step.key.path}: give {wanted}, one of them; given: {given}"
        )
    return given[0]
