"""What people do with the keyboard alone: no pointer, and nothing is focused for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kaon import load_workflow
from kaonapi.run.v1 import run_pb2

from .keys import Keys
from .looking import DESKTOP, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
_SEARCH = """
import time
from pathlib import Path

from kaon import Workflow, each, grid, param, steps
from kaon.step import StepContext

def train(context: StepContext, rate, held):
    context.metric("loss", rate, step=1)
    while rate > 0.3 and Path(held).exists():
        time.sleep(0.05)
    return {"loss": rate}

trial = each("trial", grid(rate=[0.1, 0.2, 0.3, 0.4]))
one = steps.python("train", train, rate=trial["rate"], held=param("held", str), outputs={"loss": float})
workflow = Workflow("search", one**trial)
"""


@pytest.mark.parametrize("answer", ["Approve", "Reject"])
def test_a_gate_is_answered_from_the_overview(chromium: Browser, world: World, answer: str) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "asking"), {}).run.run_id
        window.log_in(SOMEBODY)
        page, keys = window.page, Keys(window.page)
        need = page.get_by_role("listitem").filter(has_text=run_id[-8:])
        keys.tab_to(need.get_by_role("button", name=answer))
        keys.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Comment")).to_be_focused(timeout=PATIENCE)
        # Who thinks again is where they were.
        keys.press("Escape")
        expect(dialog).to_have_count(0)
        expect(need.get_by_role("button", name=answer)).to_be_focused()
        keys.press("Enter")
        expect(dialog.get_by_label("Comment")).to_be_focused(timeout=PATIENCE)
        keys.write("by hand")
        keys.tab_to(dialog.get_by_role("button", name=answer))
        keys.press("Enter")
        expect(dialog).to_have_count(0, timeout=PATIENCE)
        expect(need).to_have_count(0, timeout=PATIENCE)
        keys.is_seen()
        client.until_ended(run_id)
        (given,) = (e.gate_answered for e in client.history(run_id) if e.HasField("gate_answered"))
        assert (given.approved, given.comment) == (answer == "Approve", "by hand")


def test_a_failed_step_is_retried_from_the_drawing(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    mark.mkdir()
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "stuck"), {"mark": str(mark)}).run.run_id
        client.until_ended(run_id)
        mark.rmdir()
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page, keys = window.page, Keys(window.page)
        drawing = page.get_by_role("group", name="The workflow.")
        keys.tab_to(drawing)
        # The first arrow enters the drawing; no drawer opens on the way.
        keys.press("ArrowRight", "ArrowRight")
        ring = page.locator(".react-flow__node[data-id=weak] [data-cursor]")
        expect(ring).to_be_visible()
        keys.is_seen()
        window.picture("keyboard-drawing")
        drawer = page.get_by_role("complementary", name="Details of weak")
        expect(drawer).to_have_count(0)
        keys.press("Enter")
        expect(drawer).to_be_focused(timeout=PATIENCE)
        # Back to the node, and in again.
        keys.press("Escape")
        expect(drawer).to_have_count(0)
        expect(drawing).to_be_focused()
        expect(ring).to_be_visible()
        keys.press("Enter")
        expect(drawer).to_be_focused(timeout=PATIENCE)
        window.picture("keyboard-drawer")
        keys.tab_to(drawer.get_by_role("button", name="Retry", exact=True))
        keys.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keys.write("mended")
        keys.tab_to(dialog.get_by_role("button", name="Retry"))
        newest = client.run(run_id).run.last_seq
        keys.press("Enter")
        expect(dialog).to_have_count(0, timeout=PATIENCE)
        for _ in client.watch(run_id, newest):
            pass
        assert client.run(run_id).run.status == run_pb2.STATUS_SUCCEEDED
        retry = drawer.get_by_role("button", name="Retry", exact=True)
        expect(retry).to_have_count(0, timeout=PATIENCE)
        # The button that was pressed is gone: the keyboard is still in the drawer.
        assert drawer.evaluate("one => one.contains(document.activeElement)")
        keys.press("Escape")
        expect(drawing).to_be_focused()
        # With a drawer open the arrows take it along.
        keys.press("Enter", "Shift+Tab")
        keys.tab_to(drawing, back=True)
        keys.press("ArrowLeft")
        expect(page.get_by_role("complementary", name="Details of first")).to_be_visible()
        assert window.take_problems() == []


def test_a_run_is_forked_from_an_event(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "small"), {}).run.run_id
        client.until_ended(run_id)
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page, keys = window.page, Keys(window.page)
        slider = page.get_by_role("slider", name="Event of the history")
        keys.tab_to(slider)
        keys.press("Home", "ArrowRight")
        expect(slider).to_have_attribute("aria-valuenow", "2")
        keys.tab_to(page.get_by_role("button", name="Fork from here"))
        keys.press("Enter")
        dialog = page.get_by_role("dialog")
        fork = dialog.get_by_role("button", name="Fork")
        # The plan of a dry run comes before anything can be sent.
        expect(fork).to_be_enabled(timeout=PATIENCE)
        keys.tab_to(fork)
        keys.press("Enter")
        page.wait_for_url(lambda url: "/runs/" in url and run_id not in url, timeout=PATIENCE)
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
        keys.is_seen()
        forked = client.run(page.url.rpartition("/")[2]).run
        assert (forked.forked_from_run_id, forked.forked_from_seq) == (run_id, 2)
        assert window.take_problems() == []


def test_a_search_is_narrowed_a_trial_stopped_and_the_run_paused(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    file, held = tmp_path / "search.py", tmp_path / "held"
    file.write_text(_SEARCH)
    held.touch()
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(file), {"held": str(held)}).run.run_id
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page, keys = window.page, Keys(window.page)
        keys.press("3")
        expect(page.get_by_role("heading", name="4 trials")).to_be_visible(timeout=PATIENCE)
        # The last trial goes on until it is stopped.
        row = page.get_by_role("row").filter(
            has=page.get_by_role("button", name=re.compile(r"\b3\b"))
        )
        stop = row.get_by_role("button", name="Cancel", exact=True)
        expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(
            1, timeout=PATIENCE
        )
        keys.tab_to(page.get_by_role("slider", name="rate: kept up to"))
        for _ in range(7):
            keys.press("ArrowDown")
        expect(page.get_by_role("heading", name="2 of 4 trials")).to_be_visible()
        keys.is_seen()
        window.picture("keyboard-sweep")
        keys.press("Escape")
        expect(page.get_by_role("heading", name="4 trials")).to_be_visible()
        keys.tab_to(stop)
        keys.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keys.press("Escape")
        expect(stop).to_be_focused()
        # First the run: it is paused while the trial goes on.
        keys.tab_to(page.get_by_role("button", name="Pause", exact=True), back=True)
        keys.press("Enter")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keys.tab_to(dialog.get_by_role("button", name="Pause"))
        keys.press("Enter")
        expect(page.get_by_role("button", name="Resume", exact=True)).to_be_visible(
            timeout=PATIENCE
        )
        keys.is_seen()
        keys.tab_to(stop)
        keys.press("Enter")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keys.tab_to(dialog.get_by_role("button", name="Cancel"))
        keys.press("Enter")
        expect(dialog).to_have_count(0, timeout=PATIENCE)
        expect(stop).to_have_count(0, timeout=PATIENCE)
        keys.is_seen()
        client.until_ended(run_id)
        trials = {s.path: s.status for s in client.run(run_id).steps if s.name == "train"}
        assert list(trials.values()).count(run_pb2.STATUS_CANCELLED) == 1


def test_runs_are_chosen_and_cancelled_together(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        asking = load_workflow(world.file, "asking")
        runs = [client.submit(asking, {}).run.run_id for _ in range(3)]
        window.log_in(SOMEBODY, "/runs?workflow=asking&status=RUNNING")
        page, keys = window.page, Keys(window.page)
        expect(page.get_by_role("row").filter(has_text=runs[0][-8:])).to_be_visible(
            timeout=PATIENCE
        )
        # Newest first: the first one, and from there to the third.
        keys.press("j")
        assert runs[2][-8:] in keys.is_seen()
        keys.press("x", "j", "j", "Shift+X")
        keys.is_seen()
        window.picture("keyboard-runs")
        toolbar = page.get_by_role("toolbar", name="Chosen runs")
        expect(toolbar).to_contain_text("3 runs chosen", timeout=PATIENCE)
        keys.press("a")
        assert toolbar.evaluate("one => one.contains(document.activeElement)")
        keys.tab_to(toolbar.get_by_role("button", name="Cancel"))
        keys.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keys.write("by hand")
        keys.tab_to(dialog.get_by_role("button", name="Cancel 3 runs"))
        keys.press("Enter")
        expect(dialog.get_by_text("Done for 3 runs.")).to_be_visible(timeout=PATIENCE)
        keys.is_seen()
        keys.press("Escape")
        expect(dialog).to_have_count(0)
        keys.is_seen()
        for run_id in runs:
            client.until_ended(run_id)
            assert client.run(run_id).run.status == run_pb2.STATUS_CANCELLED
        assert window.take_problems() == []


def test_the_palette_leads_to_a_run_and_gives_the_focus_back(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        page, keys = window.page, Keys(window.page)
        launch = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Launch")
        keys.tab_to(launch)
        keys.press("Control+k")
        field = page.get_by_role("combobox", name="Search")
        expect(field).to_be_focused(timeout=PATIENCE)
        keys.press("Escape")
        expect(launch).to_be_focused()
        keys.press("Control+k")
        expect(field).to_be_focused(timeout=PATIENCE)
        keys.write(world.tour[-8:])
        expect(page.get_by_role("option").filter(has_text=world.tour[-8:]).first).to_be_visible(
            timeout=PATIENCE
        )
        keys.press("ArrowDown", "ArrowUp", "Enter")
        page.wait_for_url(f"**/runs/{world.tour}", timeout=PATIENCE)
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
        keys.is_seen()
        assert window.take_problems() == []
