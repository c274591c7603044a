"""Shell steps: an argument list, run as it is, without a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes.base import CommandLaunch, Detection, Launch, PreparedStep, Settings

_PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")


class ShellStepType:
    """Config: {"argv": ["program", "--name", "${name}"], "env": {...}}.

    `${name}` becomes the value of input `name` (an artifact's local path), as one argument whatever it holds. Every input is also
    in the environment as KAON_INPUT_<NAME>.
    """

    name = "shell"
    # `prepare` is quick enough for the runner's loop.
    inline = True

    def detect(self, settings: Settings) -> Detection:
        """Always available; which programs are there is the workflow's business."""
        return Detection(available=True, reason="runs programs of this machine")

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """See `StepType`."""
        argv = step.config.get("argv")
        if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
            raise UserStepError(
                "InvalidConfig", f'step {step.key.path}: "argv" must be a list of strings, it is {argv!r}'
            )
        texts = {name: as_text(value) for name, value in step.inputs.items()}
        env = dict(step.config.get("env", {}))
        env |= {f"KAON_INPUT_{name.upper().replace('-', '_')}": text for name, text in texts.items()}
        if step.bundle is not None:
            env["KAON_BUNDLE"] = str(step.bundle)
        return CommandLaunch(argv=tuple(_filled(word, texts, step.key.path) for word in argv), env=env)


def as_text(value: Any) -> str:
    """A value as a program expects it: strings as they are, artifacts as their path, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        reference = value["artifact"]
        return str(reference.get("path") or reference["uri"])
    return json.dumps(value, ensure_ascii=False)


def _filled(word: str, texts: Mapping[str, str], path: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in texts:
            raise UserStepError(
                "InvalidConfig", f"step {path}: argv names ${{{name}}}, but the step has no such input"
            )
        return texts[name]

    return _PLACEHOLDER.sub(replaced, word)
