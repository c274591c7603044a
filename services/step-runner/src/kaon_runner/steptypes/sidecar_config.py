"""Checks the sidecars of a docker step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes import config
from kaon_runner.steptypes.base import PreparedStep
from kaonapi.step.v1 import step_pb2

# Of one step.
MOST = 8
# Docker's own smallest limit.
LEAST_MEMORY_BYTES = 6 * 1024 * 1024
_SETTINGS = ("name", "image", "argv", "env", "user", "ready", "ready_ms", "memory_bytes", "cpus")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class _Part:
    config: Mapping[str, Any]
    key: step_pb2.StepKey


def check(step: PreparedStep) -> None:
    """Check the setting "sidecars".

    Raises:
        UserStepError: It is malformed.
    """
    given = step.config.get("sidecars") or []
    if not isinstance(given, list) or len(given) > MOST:
        raise _wrong(step, f'"sidecars" must be a list of at most {MOST}')
    names = [_check_one(step, each) for each in given]
    if len(set(names)) < len(names):
        raise _wrong(step, f"two sidecars have the same name: {', '.join(names)}")


def _check_one(step: PreparedStep, given: object) -> str:
    """Check one, and return its name."""
    if not isinstance(given, dict):
        raise _wrong(step, f"a sidecar must be settings by name, it is {given!r}")
    part = _Part(config=given, key=step.key)
    name = config.text(part, "name")
    if not _NAME.fullmatch(name):
        raise _wrong(step, f"{name!r} is no name of a sidecar: lower-case letters, digits, hyphens")
    try:
        config.only(part, _SETTINGS)
        config.text(part, "image")
        config.optional_text(part, "user")
        config.texts(part, "argv")
        config.texts(part, "ready")
        config.text_map(part, "env")
        config.number(part, "ready_ms", least=1)
        config.number(part, "memory_bytes", least=LEAST_MEMORY_BYTES)
        config.number(part, "cpus", least=0.01, whole=False)
    except UserStepError as error:
        raise UserStepError(error.kind, f"sidecar {name!r} of {error}") from None
    return name


def _wrong(step: PreparedStep, message: str) -> UserStepError:
    return UserStepError("InvalidConfig", f"step {step.key.path}: {message}")
