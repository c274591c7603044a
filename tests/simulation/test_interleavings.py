from __future__ import annotations

from collections.abc import Callable

import pytest

from .interleavings import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_goes_right_when(scenario: Callable[[], None]) -> None:
    scenario()
