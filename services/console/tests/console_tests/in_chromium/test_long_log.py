"""A log that is longer than what a page or a server should hold: read in parts, from any place, and never as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from kaon import load_workflow

from .looking import DESKTOP, Looking, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Milliseconds; only for what never comes.
PATIENCE = 60_000
LINES = 400_000
# Each line has 120 bytes.
BYTES = LINES * 120
# What this process, which is all servers at once, may take more for looking: of the log, a part.
SERVER_BYTES = BYTES // 2
# What the page may load for all that the test does.
PAGE_BYTES = BYTES // 6
_TALK = f"""
import sys

from kaon import Workflow, steps

def talk():
    for first in range(1, {LINES} + 1, 10_000):
        lines = [
            (f"line {{number}}" + (" a needle" if number % 100_000 == 7 else "")).ljust(119)
            for number in range(first, first + 10_000)
        ]
        sys.stdout.write("\\n".join(lines) + "\\n")

workflow = Workflow("talk", steps.python("talk", talk))
"""


@pytest.fixture(scope="module")
def talked(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run whose step has printed so much."""
    file: Path = tmp_path_factory.mktemp("talk") / "talk.py"
    file.write_text(_TALK)
    with world.client() as client:
        run_id = client.submit(load_workflow(file), {}).run.run_id
        client.until_ended(run_id)
    return run_id


@pytest.fixture
def window(chromium: Browser, world: World) -> Iterator[Looking]:
    with looking(chromium, world.console, DESKTOP) as shown:
        yield shown


def _peak(*, anew: bool = False) -> int:
    """The most memory of this process, in bytes; `anew`: since now."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def _line(log: Locator, number: int) -> Locator:
    return log.get_by_role("button", name=f"Link to line {number}", exact=True)


def _shows(log: Locator, text: str) -> None:
    expect(log).to_contain_text(re.compile(text.replace(" ", r"\s")), timeout=PATIENCE)


def _loaded(page: Page) -> list[int]:
    """The bytes of each answer that the page gets from now on."""
    sizes: list[int] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda told: sizes.append(int(told["encodedDataLength"])))
    return sizes


def test_a_log_is_read_in_parts_from_any_place_and_never_as_a_whole(
    window: Looking, talked: str
) -> None:
    window.log_in(SOMEBODY)
    page = window.page
    sizes, before = _loaded(page), _peak(anew=True)
    window.go(f"/runs/{talked}?step=talk&panel=logs")
    log = page.get_by_role("region", name="Log")
    expect(_line(log, LINES)).to_be_visible(timeout=PATIENCE)
    _shows(log, "Lines 398 001.400 000 of 400 000")
    window.picture("long-log-end")
    go = log.get_by_role("textbox", name="Go to line")
    go.fill("1")
    go.press("Enter")
    expect(_line(log, 1)).to_be_visible(timeout=PATIENCE)
    _shows(log, "Lines 1.2 000 of 400 000")
    expect(log.get_by_role("button", name="Older lines")).to_have_count(0)
    go.fill("234567")
    go.press("Enter")
    expect(_line(log, 234_567)).to_be_visible(timeout=PATIENCE)
    expect(log.locator("[data-chosen=true]")).to_contain_text("line 234567")
    window.picture("long-log-line")
    go.fill(str(LINES + 1))
    go.press("Enter")
    expect(log.get_by_role("status")).to_have_text(re.compile(r"The log has no line 400\s001\."))
    log.get_by_role("button", name="To the end").click()
    expect(_line(log, LINES)).to_be_visible(timeout=PATIENCE)
    log.get_by_role("log").evaluate("each => each.scrollTo(0, 0)")
    log.get_by_role("button", name="Older lines").click()
    _shows(log, "Lines 396 001.400 000 of 400 000")
    assert sum(sizes) < PAGE_BYTES, sizes
    assert _peak() - before < SERVER_BYTES
    assert window.take_problems() == []


def test_a_text_is_found_in_the_whole_log(window: Looking, talked: str) -> None:
    window.log_in(SOMEBODY)
    page = window.page
    sizes, before = _loaded(page), _peak(anew=True)
    window.go(f"/runs/{talked}?step=talk&panel=logs")
    log = page.get_by_role("region", name="Log")
    expect(_line(log, LINES)).to_be_visible(timeout=PATIENCE)
    log.get_by_role("textbox", name="Search the log").fill("A Needle")
    _shows(log, "none here, 4 in the whole log")
    backward = log.get_by_role("button", name="Previous match")
    for number in (300_007, 200_007, 100_007, 7, 300_007):
        backward.click()
        expect(_line(log, number)).to_be_visible(timeout=PATIENCE)
        expect(log.locator("[data-hit=current]")).to_contain_text(f"line {number} a needle")
    log.get_by_role("button", name="Next match").click()
    expect(_line(log, 7)).to_be_visible(timeout=PATIENCE)
    window.picture("long-log-found")
    assert sum(sizes) < PAGE_BYTES, sizes
    assert _peak() - before < SERVER_BYTES
    assert window.take_problems() == []


def test_a_link_leads_to_a_line_that_is_far_from_the_end(window: Looking, talked: str) -> None:
    # The name that the line had while it was live.
    window.log_in(SOMEBODY, f"/runs/{talked}?step=talk&panel=logs&line=1.1.123456")
    log = window.page.get_by_role("region", name="Log")
    expect(_line(log, 123_456)).to_be_visible(timeout=PATIENCE)
    expect(log.locator("[data-chosen=true]")).to_contain_text("line 123456")
    assert window.take_problems() == []


def test_a_download_is_streamed(window: Looking, talked: str, tmp_path: Path) -> None:
    window.log_in(SOMEBODY, f"/runs/{talked}?step=talk&panel=logs")
    page = window.page
    log = page.get_by_role("region", name="Log")
    expect(_line(log, LINES)).to_be_visible(timeout=PATIENCE)
    before = _peak(anew=True)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    with page.expect_download(timeout=PATIENCE) as downloading:
        log.get_by_role("button", name="Download the whole log").click()
    kept = tmp_path / downloading.value.suggested_filename
    assert kept.name == "talk-1.log"
    downloading.value.save_as(kept)
    assert kept.stat().st_size == BYTES
    metrics = session.send("Performance.getMetrics")["metrics"]
    held = next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize")
    assert held < BYTES
    assert _peak() - before < SERVER_BYTES
    assert window.take_problems() == []
