"""Pages that people write, compared with the code: step types and their options, alerts, limits, the model format."""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from docsite import limits
from docsite.__main__ import ROOT
from docsite.fields import fields_of
from kaon import Memo, Resources, Retry
from kaon.dsl import stepoptions
from kaon_publisher import model, serve_app

DOCS = ROOT / "docs"
ALERTS = ROOT / "deploy" / "observability" / "alerts.yml"
TYPES = {kind.name: kind.load() for kind in entry_points(group="kaon.step_types")}


def sections(page: str) -> dict[str, str]:
    """The text under each heading of the second level."""
    _, *parts = re.split(r"^## (.*)$", (DOCS / page).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(text: str) -> set[str]:
    """The names in the first column of tables."""
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def settings_of(step_type: object) -> set[str]:
    """The settings that the source of a step type reads."""
    tree = ast.parse(Path(sys.modules[step_type.__module__].__file__ or "").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("config.get"):
            found.add(ast.literal_eval(node.args[0]))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("config."):
            found |= {arg.value for arg in ast.walk(node) if isinstance(arg, ast.Constant)}
    return {name for name in found if isinstance(name, str)}


def test_every_step_type_has_a_section() -> None:
    assert set(TYPES) == set(sections("step-types.md")) - {
        "Options of all types",
        "Types of plug-ins",
    }


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_setting_of_a_step_type_is_told(name: str) -> None:
    read = settings_of(TYPES[name])
    assert read
    assert sorted(read - rows(sections("step-types.md")[name])) == []


def test_every_option_of_steps_is_told() -> None:
    told = rows(sections("step-types.md")["Options of all types"])
    fields = {field.name for kind in (Retry, Resources, Memo) for field in fields_of(kind)}
    assert told == set(stepoptions.NAMES) | fields


def test_every_alert_has_a_section_that_says_what_to_do_and_leads_there() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    told = sections("alerts.md")
    assert [rule["alert"] for rule in group["rules"]] == list(told)
    assert [name for name, text in told.items() if "**What to do**\n\n1. " not in text] == []
    runbooks = [rule["annotations"]["runbook"] for rule in group["rules"]]
    assert runbooks == [f"docs/alerts.md#{rule['alert'].lower()}" for rule in group["rules"]]


def test_every_limit_is_told_with_its_default() -> None:
    told = limits.explained(ROOT)
    assert told.keys() == limits.changeable().keys()
    for name, default in limits.changeable().items():
        assert told[name][0] in (limits.size(default), f"{default:,}"), name


def test_the_model_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = re.findall(
        r"<!-- file: ([\w.-]+) -->\n\n```\w+\n(.*?)```",
        (DOCS / "model-format.md").read_text(),
        re.DOTALL,
    )
    for name, text in files:
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    probe = model.read_probe(tmp_path)
    metadata, served = serve_app.load(str(tmp_path))
    assert metadata["format"] == 1
    assert model.difference(probe.expected, served.predict(probe.request), probe.tolerance) == ""
    # Every field of the description is in the page's table.
    described = {"format", "entry"} | {f"probe.{name}" for name in metadata["probe"]}
    table = sections("model-format.md")["The description"]
    assert {name for name in described if f"| `{name}` |" not in table} == set()
    assert json.dumps(metadata)
