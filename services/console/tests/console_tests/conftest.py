"""A console over a service that says what reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_console.settings import Settings

from .serving import Served, build_pages, serving


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built page."""
    return build_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, pages: Path) -> Iterator[Served]:
    """A console whose services are away."""
    state = tmp_path_factory.mktemp("console")
    settings = Settings(
        address="127.0.0.1:0",
        server="127.0.0.1:1",
        publisher="127.0.0.1:1",
        state=state,
        pages=pages,
        preview_bytes=100,
    )
    with serving(settings) as served:
        yield served
