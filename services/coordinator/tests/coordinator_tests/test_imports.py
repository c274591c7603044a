"""What a start of the coordinator, and a step whose workflow has an expression, must not pay for."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "use", ["import kaon_coordinator.expressions", "import kaon; kaon.expr('a + 1', a=1)"]
)
def test_the_engine_for_expressions_comes_without_its_command_line(use: str) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{use}; import sys; print(sorted({{'cel', 'prompt_toolkit'}} & sys.modules.keys()))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "['cel']"
