"""The generated references name all that there is: variables, metrics, commands, public names, protos and types of failures."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool
from prometheus_client import CollectorRegistry
from typer.main import get_command

import kaon
import kaon.client
import kaon.step
from docsite import errors
from docsite.__main__ import ROOT, references
from kaon.cli.main import app
from kaon_telemetry import metrics
from kaon_wire import topics

# What code reads variables from.
_ENVIRONMENTS = {"environ", "env", "environment"}
_NAME = re.compile(r"(KAON|OTEL|HADOOP|DOCKER|AWS)_[A-Z0-9_]*[A-Z0-9]|TRACEPARENT")
# The search path of programs, and variables of WSGI.
_NO_SETTINGS = {"PATH", "PATH_INFO", "HTTP_AUTHORIZATION"}
SOURCES = [
    path
    for pattern in ("packages/*/src", "sdk/src", "services/*/src")
    for place in ROOT.glob(pattern)
    for path in place.rglob("*.py")
    if "kaonapi" not in path.parts
]
_KAON = re.compile(r"\bKAON_[A-Z0-9_]*[A-Z0-9]\b")
# Files by which the system is built, configured and started; tests and what is generated are none.
OPERATED = [
    path
    for place in (
        "deploy",
        "benchmarks",
        ".ci/run",
        "Makefile",
        "docker-compose.yml",
        "conftest.py",
    )
    for path in sorted([*(ROOT / place).rglob("*"), ROOT / place])
    if path.is_file()
    and not {"tests", "__pycache__", "node_modules"} & set(path.parts)
    and path.suffix in ("", ".py", ".yml", ".toml", ".env", ".sh")
] + sorted((ROOT / "services" / "console" / "web").glob("*.config.ts"))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return references()


def test_every_variable_that_code_reads_is_among_the_settings(pages: dict[str, str]) -> None:
    page = pages["reference/settings"]
    read = {name for path in SOURCES for name in variables(path)} - _NO_SETTINGS
    assert {"KAON_DATABASE", "KAON_REGISTRY", "KAON_SERVER", "PYTHONPATH"} <= read
    assert sorted(name for name in read if f"`{name}`" not in page) == []


def test_every_field_of_the_runners_settings_is_there_and_explained(pages: dict[str, str]) -> None:
    rows = re.findall(
        r"^\| `(KAON_\w+)` \| (.*) \| (.*) \|$", pages["reference/settings"], re.MULTILINE
    )
    assert "KAON_EXCLUSIVE_SECONDS" in {name for name, _, _ in rows}
    assert [name for name, _, text in rows if not text] == []


def test_every_variable_of_kaon_anywhere_is_among_the_settings(pages: dict[str, str]) -> None:
    names = {name for path in OPERATED for name in _KAON.findall(path.read_text())}
    assert {"KAON_TAG", "KAON_LONG_TESTS", "KAON_DATABASE"} <= names
    assert sorted(name for name in names if f"`{name}`" not in pages["reference/settings"]) == []


def test_no_variable_is_told_of_that_nobody_reads(pages: dict[str, str]) -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", pages["reference/settings"], re.MULTILINE))
    text = "".join(path.read_text() for path in SOURCES)
    operated = {name for path in OPERATED for name in _KAON.findall(path.read_text())}
    fields = {f"KAON_{name.upper()}" for name in re.findall(r"^    ([a-z_]+):", text, re.MULTILINE)}
    assert {name for name in told - operated - fields if f'"{name}"' not in text} == set()


def test_every_metric_is_there(pages: dict[str, str]) -> None:
    kinds = [kind for name, kind in vars(metrics).items() if name.endswith("Metrics")]
    registry = CollectorRegistry()
    for kind in kinds:
        kind(registry)
    families = list(registry.collect())
    assert len(kinds) == 5
    assert len(families) > 30
    names = [f"{f.name}_total" if f.type == "counter" else f.name for f in families]
    assert [name for name in names if f"| `{name}` |" not in pages["reference/metrics"]] == []


def test_every_command_is_there(pages: dict[str, str]) -> None:
    names = list(commands(get_command(app), "kaon"))
    assert {"kaon run", "kaon schedule put", "kaon models list"} <= set(names)
    assert [name for name in names if f"\n## {name}\n" not in pages["reference/cli"]] == []


def test_every_public_name_of_the_sdk_is_there(pages: dict[str, str]) -> None:
    page = pages["reference/sdk"]
    names = [
        f"{module.__name__}.{word}"
        for module in (kaon, kaon.client, kaon.step)
        for word in module.__all__
    ]
    names = [name for name in names if name != "kaon.steps"]
    assert len(names) > 60
    assert [name for name in names if not re.search(rf"{{py:\w+}} {re.escape(name)}\b", page)] == []


def test_every_message_service_and_enum_is_there(pages: dict[str, str]) -> None:
    files = {topic.message.DESCRIPTOR.file for topic in topics.Catalogue().topics()}
    assert len(files) > 3
    for file in files:
        page = pages[f"reference/proto/{file.package}"]
        names = [*file.message_types_by_name, *file.enum_types_by_name, *file.services_by_name]
        assert [name for name in names if f"\n## {name}\n" not in page] == []
    service = (
        descriptor_pool.Default()
        .FindFileByName("kaonapi/run/v1/run_service.proto")
        .services_by_name["RunService"]
    )
    assert [
        m.name
        for m in service.methods
        if f"| `{m.name}` |" not in pages["reference/proto/kaonapi.run.v1"]
    ] == []


def test_every_type_of_failure_is_explained_and_every_explained_one_is_there(
    pages: dict[str, str],
) -> None:
    raised, told = set(errors.types_of_failures(ROOT)), set(errors.explained(ROOT))
    assert len(raised) > 25
    assert raised == told
    assert sorted(name for name in raised if f"| `{name}` |" not in pages["reference/errors"]) == []


def variables(path: Path) -> Iterator[str]:
    """Names of environment variables in a file: what looks like one, and whatever is read from an environment."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and _NAME.fullmatch(node.value)
        ):
            yield node.value
        match node:
            case ast.Call(
                func=ast.Attribute(attr="get" | "pop", value=place),
                args=[ast.Constant(value=str(name)), *_],
            ):
                if ast.unparse(place).rsplit(".", 1)[-1] in _ENVIRONMENTS and name.isupper():
                    yield name
            case ast.Subscript(value=place, slice=ast.Constant(value=str(name))):
                if ast.unparse(place).rsplit(".", 1)[-1] in _ENVIRONMENTS and name.isupper():
                    yield name


def commands(group: object, path: str) -> Iterator[str]:
    """The whole names of all commands, plug-ins included."""
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        command = group.get_command(None, name)  # type: ignore[attr-defined]
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"
