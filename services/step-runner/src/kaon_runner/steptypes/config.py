"""Checks the static settings that a workflow gives for a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from kaon_runner.errors import UserStepError
from kaonapi.step.v1 import step_pb2


class Configured(Protocol):
    """A step, or a part of one, with settings."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the settings by name."""

    @property
    def key(self) -> step_pb2.StepKey:
        """Return the step, which errors name."""


def text(step: Configured, name: str) -> str:
    """Return a required text setting.

    Raises:
        UserStepError: The setting is missing or not a text.
    """
    value = step.config.get(name)
    if not isinstance(value, str) or not value:
        raise UserStepError(
            "InvalidConfig", f'step {step.key.path}: "{name}" must be text, it is {value!r}'
        )
    return value


def optional_text(step: Configured, name: str) -> str:
    """Return an optional text setting; empty when it is missing."""
    return text(step, name) if step.config.get(name) is not None else ""


def one_of(step: Configured, *names: str) -> str:
    """Return the name of the one setting among `names` that is given.

    Raises:
        UserStepError: None of them, or several, are given.
    """
    given = [name for name in names if step.config.get(name) is not None]
    if len(given) != 1:
        wanted = " or ".join(f'"{name}"' for name in names)
        raise UserStepError(
            "InvalidConfig", f"step {step.key.path}: give {wanted}, one of them; given: {given}"
        )
    return given[0]


def only(step: Configured, names: Iterable[str]) -> None:
    """Refuse settings that the step type does not know, which are mostly misspelt ones.

    Raises:
        UserStepError: An unknown setting exists.
    """
    known = sorted(names)
    unknown = sorted(step.config.keys() - set(known))
    if unknown:
        raise _wrong(step, f"unknown setting {', '.join(unknown)}; known are {', '.join(known)}")


def texts(step: Configured, name: str) -> tuple[str, ...]:
    """Return an optional list of texts; empty when it is missing.

    Raises:
        UserStepError: The setting is not a list of texts.
    """
    value = step.config.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(step, f'"{name}" must be a list of texts, it is {value!r}')
    return tuple(value)


def text_map(step: Configured, name: str) -> Mapping[str, str]:
    """Return an optional map of texts by name; empty when it is missing.

    Raises:
        UserStepError: The setting is not a map of texts.
    """
    value = step.config.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong(step, f'"{name}" must be texts by name, it is {value!r}')
    return value


def number(step: Configured, name: str, *, least: float, whole: bool = True) -> float | None:
    """Return an optional number of at least `least`; None when it is missing.

    Raises:
        UserStepError: The setting is not a number, or smaller.
    """
    value: Any = step.config.get(name)
    if value is None:
        return None
    kind: Any = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        what = "a whole number" if whole else "a number"
        raise _wrong(step, f'"{name}" must be {what} of at least {least:g}, it is {value!r}')
    return float(value)


def _wrong(step: Configured, message: str) -> UserStepError:
    return UserStepError("InvalidConfig", f"step {step.key.path}: {message}")
