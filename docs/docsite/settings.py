"""The reference of environment variables, from the settings of the services and the comments above them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import kaon_console.settings
import kaon_coordinator.settings
import kaon_coordinator.view.view_settings
import kaon_publisher.settings
import kaon_runner.settings
from docsite.fields import fields_of
from docsite.text import code, plain, table

# Variables that a comment explains: "NAME: text" or "NAME, NAME: text".
_NAMED = re.compile(r"((?:[A-Z][A-Z0-9]*_[A-Z0-9_]+(?:, )?)+): ")
# The runner's comments name the variable at the end of a sentence.
_REPEATED = re.compile(r" \(KAON_[A-Z_]+\)")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable."""

    name: str
    # As one would write it; empty when there is none, or when it is found at the start.
    default: str = ""
    text: str


# Variables that are read outside of the services' settings, by heading.
ELSEWHERE: dict[str, tuple[Variable, ...]] = {
    "All services": (
        Variable(
            name="OTEL_EXPORTER_OTLP_ENDPOINT",
            text="Base URL of an OpenTelemetry collector that takes spans by OTLP over HTTP. It wins over `KAON_TRACES`.",
        ),
        Variable(
            name="KAON_TRACES", text="File to which spans are appended, one JSON object a line."
        ),
        Variable(
            name="KAON_WEBHDFS",
            text="host:port of the NameNode's HTTP interface, for hdfs: addresses; by default port 9870 of the address' host.",
        ),
        Variable(name="HADOOP_USER_NAME", default="root", text="User as whom HDFS is asked."),
    ),
    "Coordinator, view service and publisher": (
        Variable(
            name="KAON_AUDIT",
            default="off",
            text="Which calls are recorded: off, changes (and refusals), or all; changes when callers are authenticated.",
        ),
        Variable(
            name="KAON_AUDIT_DATABASE",
            text="Where they are recorded, as an SQLAlchemy URL; by default the service's own database.",
        ),
        Variable(
            name="KAON_AUDIT_KEY",
            text="File with the Ed25519 private key (PEM) that signs the newest row's hash every hour.",
        ),
        Variable(
            name="KAON_AUDIT_RETENTION_DAYS",
            default="0",
            text="Days for which rows of the audit log are kept; 0: for ever.",
        ),
        Variable(name="KAON_AUTH", default="off", text="on: callers are authenticated."),
    ),
    "Step-runner, beside its settings": (
        Variable(
            name="KAON_LOG_LEVEL",
            default="info",
            text="Least level of the log lines that the runner writes.",
        ),
        Variable(
            name="KAON_PUBLISHER_PATIENCE_SECONDS",
            text="How long a publish step tries to reach a publisher that does not answer, within one attempt.",
        ),
        Variable(
            name="DOCKER_HOST",
            text="Address of the Docker engine, where `KAON_DOCKER_HOST` is not set.",
        ),
    ),
    "Console, beside its settings": (
        Variable(
            name="TZ", text="Time zone that the page offers as the server's; default: the system's."
        ),
    ),
    "The program that creates topics": (
        Variable(
            name="KAON_MIN_ISR",
            default="1",
            text="How many brokers must have a record before it is acknowledged. The other variables are the coordinator's.",
        ),
    ),
    "SDK and command line": (
        Variable(
            name="KAON_SERVER", default="127.0.0.1:7070", text="host:port of the coordinator."
        ),
        Variable(
            name="KAON_PUBLISHER",
            default="127.0.0.1:7071",
            text="host:port of the model-publisher.",
        ),
        Variable(
            name="KAON_TOKEN",
            text="Static token, or JWT, that calls show. It goes before what `kaon login` keeps.",
        ),
        Variable(name="KAON_OIDC_ISSUER", text="OIDC issuer at which `kaon login` logs in."),
        Variable(
            name="KAON_OIDC_CLIENT_ID",
            default="kaon",
            text="Public client that is registered there for the command line.",
        ),
        Variable(name="KAON_TENANT", default="default", text="Tenant for whom calls are made."),
        Variable(
            name="KAON_PRINCIPAL",
            default="anonymous",
            text="Name of the caller, as histories show it.",
        ),
        Variable(
            name="KAON_ROLES", text="Roles of the caller, separated by commas, for approvals."
        ),
        Variable(name="TRACEPARENT", text="W3C trace context that runs continue."),
        Variable(
            name="KAON_LIMITS",
            text="Bounds of definitions that the SDK checks. Give it the value that the coordinators have.",
        ),
        Variable(
            name="PYTHONPATH",
            text="Modules in these directories count as installed: they are not put into code bundles.",
        ),
    ),
    "Set by the runner for the processes of a step": (
        Variable(
            name="KAON_STEP_DIR",
            text="The step's directory; docs/steps.md describes what is in it.",
        ),
        Variable(
            name="KAON_BUNDLE",
            text="The runner's copy of the code bundle. Steps must not change it.",
        ),
        Variable(
            name="KAON_INPUT_<NAME>",
            text="The value of an input of a shell or docker step; of an artifact its path.",
        ),
        Variable(
            name="KAON_CODE_PATH",
            text="Internal: what comes first on a Python worker's module path.",
        ),
        Variable(
            name="KAON_DOCKER_LIMITS",
            text="Internal: limits of a docker step's container, as JSON.",
        ),
        Variable(
            name="KAON_R_HELPER", text="Internal: path of the R functions that an R step may call."
        ),
        Variable(name="KAON_SPARK_SESSION", text="Internal: which Spark session a step joins."),
        Variable(
            name="KAON_SUPERVISED",
            text="Internal: marks all processes of a step, so that they can be found.",
        ),
    ),
}
_INTRODUCTION = """# Settings

Services read environment variables when they start.
[operations.md](../docs/operations.md) says which of them matter in a deployment, and lists the limits that `KAON_LIMITS` changes.
"""


def page() -> str:
    """All environment variables, by service."""
    services = {
        "Coordinator": read_by(kaon_coordinator.settings),
        "View service": read_by(kaon_coordinator.view.view_settings),
        "Model-publisher": read_by(kaon_publisher.settings),
        "Step-runner": of_runner(),
        "Console": read_by(kaon_console.settings),
    }
    parts = [_INTRODUCTION]
    for heading, variables in (services | ELSEWHERE).items():
        rows = [(code(v.name), code(v.default), plain(v.text)) for v in variables]
        parts += [f"## {heading}\n", table(("Variable", "Default", "Meaning"), rows)]
    return "\n".join(parts)


def read_by(module: ModuleType) -> tuple[Variable, ...]:
    """What a settings module reads, whose comments name the variables.

    Raises:
        ValueError: a comment names a variable that is not read, or the other way round.
    """
    texts = {
        name: text for entry in fields_of(module.Settings) for name, text in _texts(entry.comment)
    }
    defaults = dict(_defaults(module))
    if texts.keys() != defaults.keys():
        raise ValueError(
            f"{module.__name__}: read or explained, but not both: {sorted(texts.keys() ^ defaults.keys())}"
        )
    return tuple(
        Variable(name=name, default=defaults[name], text=text) for name, text in texts.items()
    )


def of_runner() -> tuple[Variable, ...]:
    """What a runner reads: a variable for each field."""
    defaults = {field.name: field.default for field in fields(kaon_runner.settings.Settings)}
    return tuple(
        Variable(
            name=f"KAON_{entry.name.upper()}",
            default=_shown(defaults[entry.name]),
            text=_REPEATED.sub("", entry.comment),
        )
        for entry in fields_of(kaon_runner.settings.Settings)
    )


def _texts(comment: str) -> Iterator[tuple[str, str]]:
    before, *pairs = _NAMED.split(comment)
    for names, text in zip(pairs[::2], pairs[1::2], strict=True):
        for name in names.split(", "):
            sentence = f"{before}{text}".strip().rstrip(";")
            # "host:port" stays as it is.
            yield (
                name,
                sentence if ":" in sentence.split()[0] else sentence[:1].upper() + sentence[1:],
            )


def _defaults(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Which variables the module reads, each with its default: calls whose arguments are a name and `default.x`."""
    found_at_start = {f.name for f in fields(module.Settings) if f.default is MISSING}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Call):
            continue
        name, default = "", ""
        for argument in node.args:
            if isinstance(argument, ast.Constant) and re.fullmatch(
                r"[A-Z]+(_[A-Z]+)+", str(argument.value)
            ):
                name = str(argument.value)
            elif name and isinstance(argument, ast.Attribute):
                path = ast.unparse(argument).split(".")[1:]
                default = (
                    "" if path[0] in found_at_start and len(path) == 1 else _value(module, path)
                )
        if name:
            yield name, default


def _value(module: ModuleType, path: list[str]) -> str:
    # Topics have defaults of their own.
    value: Any = module.Settings()
    if not hasattr(value, path[0]):
        value = value.catalogue
    for part in path:
        value = getattr(value, part)
    return _shown(value)


def _shown(value: object) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        # The interpreter of whoever builds the site says nothing.
        return "" if value.startswith("/") else value
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
