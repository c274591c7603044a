"""Which values a declared type allows."""

from __future__ import annotations

import pytest

from kaon_runner.outputs import values


@pytest.mark.parametrize(
    ("value", "kind", "good"),
    [
        ("2026-11-24", "date", True),
        ("2026-02-30", "date", False),
        ("20261124", "date", False),
        (20261124, "date", False),
        (True, "int", False),
        (1, "float", True),
        (None, "any", True),
    ],
)
def test_a_value_is_of_a_type_or_not(value: object, kind: str, good: bool) -> None:
    assert values.matches(value, kind) is good
