"""Shell steps: an argument list, executed without a shell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from kaon_runner.errors import UserStepError
from kaon_runner.steptypes import config
from kaon_runner.steptypes.base import (
    CommandLaunch,
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
)
from kaonapi.workflow.v1 import definition_pb2

# Names the directory of the code bundle, in placeholders and in the environment.
BUNDLE = "KAON_BUNDLE"
# "$${" stands for "${".
_PLACEHOLDER = re.compile(r"(\$\$\{)|\$\{([A-Za-z_][A-Za-z0-9_-]*)\}")
# Runs a program, whose standard output becomes a file and still goes to the step's log; exits as the program does.
_KEEPING = (
    'pipe=$KAON_STEP_DIR/stdout.pipe; mkfifo "$pipe" || exit; tee "$1" < "$pipe" & shift; '
    '"$@" > "$pipe"; code=$?; wait; exit $code'
)


class ShellStepType(StepType):
    """Config: {"argv": ["program", "--name", "${name}"], "env": {...}, "stdout": "output"}.

    `${name}` in a word of argv, and in a value of env, becomes the value of input `name` (an artifact's local
    path), whatever its content. Every input is also in the environment as KAON_INPUT_<NAME>. A program named
    with a relative path, such as "./load", is a file of the code bundle; `${KAON_BUNDLE}`, and the variable
    of that name, is the bundle's directory. `$${` stands for `${`. What the program prints to its standard output
    becomes the output that `stdout` names.
    """

    name = "shell"
    # `prepare` is quick enough for the runner's loop.
    inline = True

    def detect(self, settings: Settings) -> Detection:
        """Detect nothing: shell steps are always available, and programs are the workflow's concern."""
        return Detection(available=True, reason="runs programs of this machine")

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        argv = step.config.get("argv")
        if (
            not isinstance(argv, list)
            or not argv
            or not all(isinstance(word, str) for word in argv)
        ):
            raise UserStepError(
                "InvalidConfig",
                f'step {step.key.path}: "argv" must be a list of strings, it is {argv!r}',
            )
        texts = {name: as_text(value) for name, value in step.inputs.items()}
        bundle = {BUNDLE: str(step.bundle)} if step.bundle is not None else {}
        known = bundle | texts
        env = {
            name: filled(text, known, f"step {step.key.path}: env {name}")
            for name, text in step.config.get("env", {}).items()
        }
        env |= variables(texts) | bundle
        program, *words = (filled(word, known, f"step {step.key.path}: argv") for word in argv)
        return CommandLaunch(argv=(*_keeping(step), _located(step, program), *words), env=env)


def _keeping(step: PreparedStep) -> tuple[str, ...]:
    """Return the command that keeps the standard output of the one after it, when the step has an output for it."""
    output = config.optional_text(step, "stdout")
    if not output:
        return ()
    if output not in step.spec.outputs:
        raise UserStepError(
            "InvalidConfig",
            f"step {step.key.path}: stdout names {output!r}, which is no output of the step",
        )
    # Types of artifacts have the numbers from that of files on.
    is_file = step.spec.outputs[output] >= definition_pb2.VALUE_TYPE_FILE
    place = (
        step.directory.artifacts / output if is_file else step.directory.outputs / f"{output}.txt"
    )
    return ("/bin/sh", "-c", _KEEPING, "sh", str(place))


def _located(step: PreparedStep, program: str) -> str:
    """Return the path of a program: one with a relative path is in the code bundle."""
    if "/" not in program or program.startswith("/"):
        return program
    path = step.bundle_file(program)
    if not os.access(path, os.X_OK):
        raise UserStepError(
            "InvalidConfig",
            f"step {step.key.path}: {program} may not be executed; chmod +x it, or name the program that reads it",
        )
    return str(path)


def as_text(value: Any) -> str:
    """Return a value as a program expects it: strings unchanged, artifacts as their path, others as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        reference = value["artifact"]
        return str(reference.get("path") or reference["uri"])
    return json.dumps(value, ensure_ascii=False)


def variables(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a step's inputs, from their texts by name."""
    return {f"KAON_INPUT_{name.upper().replace('-', '_')}": text for name, text in texts.items()}


def filled(word: str, texts: Mapping[str, str], where: str | None) -> str:
    """Return a text with the values of inputs in place of their `${name}`, and `${` in place of `$${`.

    Args:
        word: The text.
        texts: The inputs' values by name.
        where: Names the text in the error; None leaves unknown names unchanged.

    Raises:
        UserStepError: The text names an input that the step does not have.
    """

    def replaced(match: re.Match[str]) -> str:
        if match.group(1):
            return "${"
        name = match.group(2)
        if name in texts:
            return texts[name]
        if where is None:
            return match.group()
        raise UserStepError(
            "InvalidConfig", f"{where} names ${{{name}}}, but the step has no such input"
        )

    return _PLACEHOLDER.sub(replaced, word)
