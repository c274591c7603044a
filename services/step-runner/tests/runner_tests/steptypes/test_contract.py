"""What a step type must have is declared in one place, and one that lacks it is left out at the start."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from kaon_runner.capabilities.step_types import GROUP, StepTypes, detected
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import StepType


def entry(name: str) -> EntryPoint:
    return EntryPoint(name=name.lower(), value=f"plugged_types:{name}", group=GROUP)


def test_what_a_type_does_not_say_is_declared() -> None:
    step_type, detection = detected(entry("Least"), Settings())
    assert step_type is not None
    assert detection.available
    assert (step_type.inline, step_type.has_environments, step_type.collect) == (False, False, None)


def test_a_type_may_collect() -> None:
    step_type, _ = detected(entry("Collecting"), Settings())
    assert step_type is not None
    assert step_type.collect is not None


def test_an_incomplete_type_is_left_out_and_told_of() -> None:
    step_type, detection = detected(entry("Incomplete"), Settings())
    assert step_type is None
    assert "plugged_types:Incomplete is no step type: it must inherit from" in detection.reason


@pytest.mark.parametrize("installed", entry_points(group=GROUP), ids=lambda entry: entry.name)
def test_every_installed_type_is_one(installed: EntryPoint) -> None:
    assert isinstance(installed.load()(), StepType)


# What the extras of the runner install, for one step type or another.
OPTIONAL = ("docker", "impala", "pandas", "pyarrow", "pyspark", "rpy2")


@pytest.mark.parametrize("installed", entry_points(group=GROUP), ids=lambda entry: entry.name)
def test_a_type_whose_packages_are_not_installed_says_so_and_raises_nothing(
    installed: EntryPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    step_type, detection = detected(installed, Settings())
    assert step_type is not None
    assert detection.available or detection.reason


def test_a_runner_finds_the_types_that_need_nothing(tmp_path: Path) -> None:
    types = StepTypes.discover(Settings(work=tmp_path))
    assert {"python", "shell"} <= set(types.available)
    assert types.labels["step-type.shell"] == "yes"


def test_a_runner_looks_for_the_types_that_its_settings_name(tmp_path: Path) -> None:
    types = StepTypes.discover(Settings(work=tmp_path, step_types=("shell", "nobody-has-it")))
    assert (list(types.available), types.missing) == (["shell"], {})
