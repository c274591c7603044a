"""Containers beside that of a docker step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kaon.dsl import names
from kaon.dsl.errors import WorkflowError
from kaon.dsl.later import Later
from kaon.dsl.policies import Duration, Size, milliseconds, size_in_bytes
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Value
from kaon.dsl.words import check_argv, check_env, check_text


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Made by `sidecar`."""

    name: str
    config: Mapping[str, Any]


def sidecar(
    name: str,
    image: str | Value,
    *,
    argv: Iterable[str] = (),
    env: Mapping[str, str | Value] | Value | None = None,
    ready: Iterable[str] = (),
    ready_timeout: Duration = "1m",
    user: str | None = None,
    memory: Size | None = None,
    cpu: float | None = None,
) -> Sidecar:
    """Run a container beside a docker step, such as a database that the step talks to at localhost.

        steps.docker("test", "app:1", sidecars=[sidecar("db", "postgres:17", ready=["pg_isready"])])

    Args:
        name: stands before its lines in the step's log.
        image: pulled as the step's own; it, and variables of the environment, may be known only when the step begins.
        argv: arguments; without them the image's own command. `${name}` with the name of an input of the step becomes its value.
        env: environment variables, filled in as argv.
        ready: a program of the image, with its arguments, that ends with code 0 when the sidecar is ready; the step starts then.
            Without one the sidecar is ready when it runs.
        ready_timeout: how long it may take to be ready; then the step fails.
        user: "uid:gid"; by default the image's.
        memory: its own limit; it does not count among the step's resources.
        cpu: its own limit of cores.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    what = f"sidecar {name!r}"
    config: dict[str, Any] = {
        "name": names.check_block_name(name, "sidecar", source),
        "image": image if isinstance(image, Value) else check_text(name, "image", image, source),
        "argv": check_argv(name, argv, source),
        "env": check_env(name, env, source),
        "ready": check_argv(name, ready, source),
        "ready_ms": milliseconds(ready_timeout, f"ready_timeout of {what}", source),
    }
    if user is not None:
        config["user"] = check_text(name, "user", user, source)
    if memory is not None:
        config["memory_bytes"] = size_in_bytes(memory, f"memory of {what}", source)
    if cpu is not None:
        if isinstance(cpu, bool) or not isinstance(cpu, int | float) or cpu < 0.01:
            raise WorkflowError(
                f"cpu of {what} must be a number of at least 0.01, not {cpu!r}", source
            )
        config["cpus"] = float(cpu)
    given = {key: value for key, value in config.items() if isinstance(value, Value) or bool(value)}
    return Sidecar(name=name, config=given)


def configs(step: str, given: object, source: Source) -> list[Mapping[str, Any]]:
    """Return the settings of a step's sidecars.

    Raises:
        WorkflowError: something else was given, or two have one name.
    """
    if isinstance(given, Sidecar) or not isinstance(given, Iterable):
        raise WorkflowError(f"step {step!r}: sidecars is a list of sidecar(...)", source)
    found = list(given)
    for each in found:
        if not isinstance(each, Sidecar):
            raise WorkflowError(
                f"step {step!r}: sidecars is a list of sidecar(...), not {each!r}", source
            )
    if len({each.name for each in found}) < len(found):
        raise WorkflowError(f"step {step!r}: two sidecars have the same name", source)
    return [each.config for each in found]


def known_before(settings: Mapping[str, Any], later: Later) -> dict[str, Any]:
    """Return the settings of a sidecar that are known before the step begins, and give the others to `later`."""
    known = dict(settings)
    for setting in ("image", "env"):
        field = f"step.config.sidecars.{settings['name']}.{setting}"
        if later.take(field, known.get(setting), later) is later:
            del known[setting]
    return known
