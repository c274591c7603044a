"""Checks the static settings that a workflow gives for a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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


def only(step: PreparedStep, names: Iterable[str]) -> None:
    """Refuses settings that the step type does not know, which are mostly misspelt ones.

    Raises:
        UserStepError: there is one.
    """
    known = sorted(names)
    unknown = sorted(step.config.keys() - set(known))
    if unknown:
        raise _wrong(step, f"unknown setting {', '.join(unknown)}; known are {', '.join(known)}")


def texts(step: PreparedStep, name: str) -> tuple[str, ...]:
    """A setting that must be a list of texts; empty when it is missing.

    Raises:
        UserStepError: it is something else.
    """
    value = step.config.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(step, f'"{name}" must be a list of texts, it is {value!r}')
    return tuple(value)


def text_map(step: PreparedStep, name: str) -> Mapping[str, str]:
    """A setting that must be texts by name; empty when it is missing.

    Raises:
        UserStepError: it is something else.
    """
    value = step.config.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise _wrong(step, f'"{name}" must be texts by name, it is {value!r}')
    return value


def number(step: PreparedStep, name: str, *, least: float, whole: bool = True) -> float | None:
    """A setting that must be a number of at least `least`; None when it is missing.

    Raises:
        UserStepError: it is something else, or smaller.
    """
    value: Any = step.config.get(name)
    if value is None:
        return None
    kind: Any = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or value < least:
        what = "a whole number" if whole else "a number"
        raise _wrong(step, f'"{name}" must be {what} of at least {least:g}, it is {value!r}')
    return float(value)


def _wrong(step: PreparedStep, message: str) -> UserStepError:
    return UserStepError("InvalidConfig", f"step {step.key.path}: {message}")
