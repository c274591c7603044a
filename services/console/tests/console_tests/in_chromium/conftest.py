"""One browser and one system for all tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from kaon_console.settings import BUILT_PAGES
from kaon_local.paths import ROOT, cache

from .world import World, open_world

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def _lacks(what: str) -> None:
    """Leaves the tests out where something is missing; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}: .ci/run brings it along", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser that runs."""
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        _lacks("no chromium is installed (make system installs one)")
    if not (BUILT_PAGES / "index.html").is_file():
        _lacks("the console's page is not built (make setup builds it, with Node.js)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def world(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The runs that are looked at; no test changes them."""
    with open_world(tmp_path_factory.mktemp("world"), ROOT / "examples") as found:
        yield found


@pytest.fixture(scope="session")
def axe() -> Path:
    """The rules for what everybody can use."""
    found = sorted(cache().glob("axe-*.min.js"))
    if not found:
        _lacks("axe-core is not there (make setup fetches it)")
    return found[-1]
