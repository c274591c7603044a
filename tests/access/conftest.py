"""The closed system that these tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from access.closed_system import ClosedSystem, closed_system


@pytest.fixture(scope="package", name="closed")
def _closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClosedSystem]:
    with closed_system(tmp_path_factory.mktemp("closed")) as closed:
        yield closed
