"""Checks what steps that run programs are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon.dsl.values import Value


def check_text(name: str, what: str, value: object, source: Source) -> str:
    """Return a text that is not empty; `what` names it. Raises WorkflowError."""
    if not isinstance(value, str) or not value.strip():
        raise WorkflowError(f"step {name!r}: {what} must be text, not {value!r}", source)
    return value


def check_argv(name: str, argv: object, source: Source) -> list[str]:
    """Return words of a command. Raises WorkflowError."""
    if isinstance(argv, str) or not isinstance(argv, Iterable):
        raise WorkflowError(
            f'step {name!r}: argv is a list of words such as ["ls", "-l"], not {argv!r}', source
        )
    words = list(argv)
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise WorkflowError(f"step {name!r}: {wrong[0]!r} in argv is no text", source)
    return words


def check_env(name: str, env: object, source: Source) -> dict[str, str | Value] | Value:
    """Return environment variables, some or all of which may be known only later. Raises WorkflowError."""
    if env is None:
        return {}
    if isinstance(env, Value):
        return env
    if not isinstance(env, Mapping) or not all(
        isinstance(key, str) and isinstance(text, str | Value) for key, text in env.items()
    ):
        raise WorkflowError(f"step {name!r}: env is a dict of texts by name, not {env!r}", source)
    return dict(env)
