"""What the simulation's tests share."""

from __future__ import annotations

import pytest

from .runners import REPLACED


@pytest.fixture(autouse=True)
def the_runner_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulation plays runners by replacing parts of their modules: other tests in this process want the real ones back."""
    for module, name in REPLACED:
        monkeypatch.setattr(module, name, getattr(module, name))
