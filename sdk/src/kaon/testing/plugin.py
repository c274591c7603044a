"""The plug-in of pytest: fixtures for tests of steps and workflows. It is loaded with every pytest: what it imports is light."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kaon.testing.context import RecordedContext, step_context
from kaon.testing.running import FinishedRun, run_workflow


@pytest.fixture
def kaon_context(tmp_path: Path) -> Callable[..., RecordedContext]:
    """Make contexts of steps, with their files below `tmp_path`; arguments as for `kaon.testing.step_context`."""
    made = iter(range(1_000_000))

    def make(*arguments: object, **options: object) -> RecordedContext:
        options.setdefault("directory", tmp_path / f"step-{next(made)}")
        return step_context(*arguments, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def kaon_run(tmp_path: Path) -> Callable[..., FinishedRun]:
    """Run workflows in this process, with their files below `tmp_path`; arguments as for `kaon.testing.run_workflow`."""
    return partial(run_workflow, directory=tmp_path / "kaon")
