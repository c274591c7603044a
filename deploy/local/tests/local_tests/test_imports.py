"""The check of imports that `make check` runs finds what it is for."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "deploy" / "local" / "imports.py"
ENGINE = "services/coordinator/src/kaon_coordinator/engine/new.py"


@pytest.fixture(scope="module")
def problems() -> Callable[[str, str], list[str]]:
    found = runpy.run_path(str(SCRIPT))["problems"]
    assert callable(found)
    return found


@pytest.mark.parametrize(
    "imported",
    [
        "import kaon",
        "from kaon_wire import topics",
        "import os, kaonapi.run.v1.run_pb2",
        "from .world import World",
    ],
)
def test_a_function_imports_nothing_of_ours(
    problems: Callable[[str, str], list[str]], imported: str
) -> None:
    inside = f"class X:\n    async def f(self):\n        if self:\n            {imported}\n"
    assert [problem.split(":")[:2] for problem in problems("sdk/x.py", inside)] == [
        ["sdk/x.py", "4"]
    ]
    assert problems("sdk/x.py", f"{imported}\n") == []
    assert (
        problems("sdk/x.py", "def f():\n    import pandas\n    from docker import errors\n") == []
    )


@pytest.mark.parametrize(
    "imported",
    ["import structlog", "from google.auth import x", "from kaon_service import databases"],
)
def test_the_engine_stands_on_the_standard_library_and_the_wire(
    problems: Callable[[str, str], list[str]], imported: str
) -> None:
    assert len(problems(ENGINE, f"{imported}\n")) == 1
    assert problems("services/coordinator/src/kaon_coordinator/shell/new.py", f"{imported}\n") == []


@pytest.mark.parametrize("program", ["services/x/src/kaon_x/", "deploy/local/src/kaon_local/x/"])
@pytest.mark.parametrize("imported", ["import structlog", "from kaon_x.bootstrap import start"])
def test_a_program_loads_its_modules_without_the_collector(
    problems: Callable[[str, str], list[str]], program: str, imported: str
) -> None:
    begins = "from __future__ import annotations\nimport sys\n"
    assert len(problems(f"{program}__main__.py", f"{begins}{imported}\n")) == 1
    within = f"{begins}from kaon_wire.loading import loading\nwith loading():\n    {imported}\n"
    assert problems(f"{program}__main__.py", within) == []
    assert problems(f"{program}other.py", f"{begins}{imported}\n") == []


def test_what_the_engine_may_import_is_no_problem(
    problems: Callable[[str, str], list[str]],
) -> None:
    allowed = [
        "math",
        "kaon_wire.canonical",
        "kaonapi.run.v1",
        "google.protobuf.message",
        "kaon_coordinator.engine.state.state",
    ]
    assert problems(ENGINE, "".join(f"import {name}\n" for name in allowed)) == []
    assert len(problems(ENGINE, "import kaon_coordinator.store\n")) == 1


def test_no_service_loads_what_prints_for_people() -> None:
    programs = list((ROOT / "services").glob("*/src/**/__main__.py"))
    assert len(programs) >= 6
    lacking = [path for path in programs if 'loading(without="rich")' not in path.read_text()]
    assert lacking == []
    loaded = "import sys, kaon_runner.__main__; print('rich.console' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True)
    assert done.stdout == b"False\n"
