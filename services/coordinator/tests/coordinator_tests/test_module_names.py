"""A search for the name of a module of the coordinator finds one module."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import kaon_coordinator

# Python asks for `__init__` and `__main__`. `store.base` and `transport.base` are what their packages are for.
SHARED = {"__init__", "__main__", "base"}


def test_no_two_modules_have_one_name() -> None:
    root = Path(kaon_coordinator.__file__).parent
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        if path.stem not in SHARED:
            places[path.stem].append(str(path.relative_to(root)))
    assert [found for found in places.values() if len(found) > 1] == []
