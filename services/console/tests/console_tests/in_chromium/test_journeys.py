"""What people do in the console, on the real system."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kaon import load_workflow
from kaon_local.ports import free_port
from kaonapi.run.v1 import run_pb2

from ..serving import serving
from .looking import DESKTOP, looking
from .scrubber import Scrubber, shown_status
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000

_CHECKED = """
from kaon import Workflow, param, steps

def work(share, other):
    pass

share = param("share", float, default=0.1, check="value > 0 && value <= 1")
other = param("other", int, default=1)
wf = Workflow("checked", steps.python("one", work, share=share, other=other))
"""
_VERSIONS = """
from kaon import Workflow, steps

def work():
    pass

one, two = steps.python("one", work), steps.python("two", work)
wf = Workflow("versions", {body})
"""


def test_a_run_is_launched_by_the_keyboard_alone(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        keyboard = window.page.keyboard
        keyboard.press("g")
        keyboard.press("l")
        expect(window.page.get_by_role("heading", name="Launch")).to_be_visible(timeout=PATIENCE)
        keyboard.press("/")
        keyboard.type("tour")
        window.page.get_by_role("link", name="tour").focus()
        keyboard.press("Enter")
        field = window.page.get_by_label("count").first
        expect(field).to_be_visible(timeout=PATIENCE)
        field.focus()
        keyboard.press("Control+A")
        keyboard.type("1")
        keyboard.press("Control+Enter")
        window.page.wait_for_url("**/runs/*", timeout=PATIENCE)
        run_id = window.page.url.rpartition("/")[2]
        with world.client() as client:
            assert dict(client.run(run_id).run.params_json) == {"count": "1"}
        assert window.take_problems() == []


def test_a_failed_cell_is_looked_into_and_retried_by_the_keyboard_alone(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "wide"), {"count": 8}).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, f"/runs/{run_id}?step=items")
        page, keyboard = window.page, window.page.keyboard
        # From the drawer to the heatmap, which takes the drawer's place: the keyboard goes on in the page.
        to_cells = page.get_by_role("button", name="Heatmap and table")
        to_cells.focus()
        keyboard.press("Enter")
        heatmap = page.get_by_role("application", name="Heatmap of 8 cells")
        expect(heatmap).to_be_visible(timeout=PATIENCE)
        expect(page.locator("main")).to_be_focused()
        heatmap.focus()
        # The first arrow enters the map; the seventh cell has failed.
        for index in range(8):
            keyboard.press("ArrowRight")
            expect(page.locator("output")).to_contain_text(f"Cell {index}")
        keyboard.press("Enter")
        drawer = page.get_by_role("complementary")
        expect(drawer.get_by_text("the seventh has no data").first).to_be_visible(timeout=PATIENCE)
        drawer.get_by_role("tab", name="Overview").focus()
        keyboard.press("ArrowRight")
        expect(drawer.get_by_role("region", name="Log")).to_be_visible(timeout=PATIENCE)
        retry = drawer.get_by_role("button", name="Retry", exact=True)
        retry.focus()
        keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Reason")).to_be_focused(timeout=PATIENCE)
        keyboard.press("Escape")
        expect(retry).to_be_focused()
        keyboard.press("Escape")
        expect(drawer).to_have_count(0)
        expect(heatmap).to_be_focused()
        assert window.take_problems() == []


def test_what_the_server_says_of_a_parameter_stands_at_its_field(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "checked.py"
    file.write_text(_CHECKED)
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        client.register(load_workflow(file))
        window.log_in(SOMEBODY, "/launch/checked")
        page = window.page
        share, other = (page.get_by_role("textbox", name=name) for name in ("share", "other"))
        share.fill("7.5")
        expect(share).to_have_attribute("aria-invalid", "true", timeout=PATIENCE)
        # A screen reader reads it with the field.
        place = page.get_by_role("alert").evaluate("told => told.parentElement.id")
        assert place in (share.get_attribute("aria-describedby") or "").split()
        expect(other).not_to_have_attribute("aria-invalid", "true")
        window.picture("launch-refused")
        share.fill("0.5")
        expect(share).not_to_have_attribute("aria-invalid", "true", timeout=PATIENCE)


def test_who_may_answers_from_the_overview(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        window.log_in(SOMEBODY)
        run_id = client.submit(load_workflow(world.file, "asking"), {}).run.run_id
        need = (
            window.page.locator("li, article, section, div")
            .filter(has_text="May it go on?")
            .filter(has=window.page.get_by_role("button", name="Approve"))
        )
        expect(need.last).to_be_visible(timeout=PATIENCE)
        need.last.get_by_role("button", name="Approve").click()
        dialog = window.page.get_by_role("dialog")
        expect(dialog).to_be_visible(timeout=PATIENCE)
        dialog.get_by_role("button", name="Approve").click()
        for _ in client.watch(run_id):
            pass
        assert client.run(run_id).run.status == run_pb2.STATUS_SUCCEEDED
        expect(window.page.get_by_text("May it go on?")).to_have_count(0, timeout=PATIENCE)
        assert window.take_problems() == []


def test_failed_runs_are_filtered_and_retried_together_after_their_ids_were_shown(
    chromium: Browser, world: World
) -> None:
    with (
        looking(chromium, world.console, DESKTOP) as window,
        world.client() as client,
        ExitStack() as stack,
    ):
        failing = load_workflow(world.file, "asking")
        runs = [client.submit(failing, {}).run.run_id for _ in range(2)]
        for run_id in runs:
            stack.callback(client.cancel, run_id, "the test is over")
            client.cancel(run_id, "to be retried")
            for _ in client.watch(run_id):
                pass
        window.log_in(SOMEBODY, "/runs?status=CANCELLED&workflow=asking")
        page = window.page
        for run_id in runs:
            page.get_by_role("checkbox", name=f"Choose run {run_id[-8:]}").click()
        toolbar = page.get_by_role("toolbar", name="Chosen runs")
        expect(toolbar.get_by_role("button", name="Cancel")).to_be_disabled(timeout=PATIENCE)
        toolbar.get_by_role("button", name="Retry").click()
        dialog = page.get_by_role("dialog")
        for run_id in runs:
            expect(dialog.get_by_text(run_id)).to_be_visible(timeout=PATIENCE)
        dialog.get_by_role("button", name="Retry 2 runs").click()
        expect(dialog.get_by_text("Done for 2 runs.")).to_be_visible(timeout=PATIENCE)
        assert all(not client.run(run_id).run.HasField("end_time") for run_id in runs)
        assert window.take_problems() == []


def test_of_chosen_runs_those_that_refuse_are_named_with_the_reason(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        asking = load_workflow(world.file, "asking")
        ended, stopped = (client.submit(asking, {}).run.run_id for _ in range(2))
        for run_id in (ended, stopped):
            client.cancel(run_id, "to be retried")
            for _ in client.watch(run_id):
                pass
        window.log_in(SOMEBODY, "/runs?status=CANCELLED&workflow=asking")
        page = window.page
        for run_id in (ended, stopped):
            page.get_by_role("checkbox", name=f"Choose run {run_id[-8:]}").click()
        toolbar = page.get_by_role("toolbar", name="Chosen runs")
        toolbar.get_by_role("button", name="Retry").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text(ended)).to_be_visible(timeout=PATIENCE)
        # Somebody else is faster: the run succeeds while the dialog asks.
        newest = client.run(ended).run.last_seq
        client.retry(ended)
        client.answer(ended, "agree", approved=True)
        for _ in client.watch(ended, newest):
            pass
        dialog.get_by_role("button", name="Retry 2 runs").click()
        expect(dialog.get_by_text("1 run failed")).to_be_visible(timeout=PATIENCE)
        rows = dialog.get_by_role("listitem")
        expect(rows.filter(has_text=stopped)).to_contain_text("is now")
        expect(rows.filter(has_text=ended)).to_contain_text("othing has failed")
        window.picture("bulk-partly-refused")
        dialog.get_by_role("button", name="Close").last.click()
        client.cancel(stopped, "the test is over")
        assert [each for each in window.take_problems() if "RetryRun" not in each] == []


def test_a_console_that_was_away_is_found_again_with_what_has_happened_meanwhile(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    settings = replace(world.console.settings, address=f"127.0.0.1:{free_port()}", state=tmp_path)
    workflow = load_workflow(world.file, "asking")
    with world.client() as client, ExitStack() as stack:
        with serving(settings) as served:
            window = stack.enter_context(looking(chromium, served, DESKTOP))
            window.log_in(SOMEBODY, "/runs")
            expect(window.page.get_by_role("row").filter(has_text="tour").first).to_be_visible(
                timeout=PATIENCE
            )
        run_id = client.submit(workflow, {}).run.run_id
        stack.callback(client.cancel, run_id, "the test is over")
        expect(window.page.get_by_role("status").first).to_be_visible(timeout=PATIENCE)
        window.picture("runs-away")
        with serving(settings):
            row = window.page.get_by_role("row").filter(has_text=run_id[-8:])
            expect(row.first).to_be_visible(timeout=PATIENCE)
            expect(window.page.get_by_role("status")).to_have_count(0, timeout=PATIENCE)


def test_a_sub_workflow_opens_inside_of_the_drawing_and_leads_to_its_run(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "nested"), {}).run.run_id
        for _ in client.watch(run_id):
            pass
        (child,) = (block.child_run_id for block in client.run(run_id).blocks)
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page = window.page
        page.get_by_role("button", name="Open inside").click()
        inner = page.locator('.react-flow__node[data-id="inside > within"]')
        expect(inner.get_by_role("img", name="Succeeded")).to_be_visible(timeout=PATIENCE)
        window.picture("run-nested")
        # A link shows others the same, and at the moment before it began nothing of it had.
        window.go(f"/runs/{run_id}?open=inside&seq=3")
        assert "open=inside" in page.url
        expect(inner).to_have_count(0)
        window.go(f"/runs/{run_id}?open=inside")
        inner.click()
        page.wait_for_url(f"**/runs/{child}?step=within", timeout=PATIENCE)
        assert window.take_problems() == []


def test_the_scrubber_shows_what_the_server_replays_after_twenty_events(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        again = load_workflow(world.file, "again")
        run_id = client.submit(again, {"mark": str(tmp_path / "mark")}).run.run_id
        for _ in client.watch(run_id):
            pass
        # Goes back before the step that was retried.
        (tmp_path / "mark").unlink()
        newest = client.run(run_id).run.last_seq
        client.restart(run_id, "flaky")
        for _ in client.watch(run_id, newest):
            pass
        kinds = {event.WhichOneof("event") for event in client.history(run_id)}
        assert {"step_retry_scheduled", "blocks_reset"} <= kinds
        last = client.run(run_id).run.last_seq
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        scrubber = Scrubber(window.page, last)
        for seq in random.Random(7).sample(range(1, last), 20):
            told = client.run_at(run_id, seq)
            wanted = {step.name: shown_status(step.status) for step in told.steps}
            scrubber.drag(seq)
            scrubber.shows(wanted, f"dragged over event {seq}")
            scrubber.let_go()
            scrubber.shows(wanted, f"at event {seq}")
            assert told.state_hash.removeprefix("sha256:").startswith(scrubber.digest()), seq
        assert window.take_problems() == []


def test_a_fork_takes_the_version_that_is_chosen(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    flow = tmp_path / "versions.py"
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        versions = []
        for body in ("one", "one >> two"):
            flow.write_text(_VERSIONS.format(body=body))
            versions.append(client.register(load_workflow(flow)).workflow.version)
        run_id = client.submit_registered("versions", {}, version=versions[0]).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, f"/runs/{run_id}?seq=3")
        page = window.page
        for choice, version in (("Its version", versions[0]), ("The current one", versions[1])):
            window.go(f"/runs/{run_id}?seq=3")
            page.get_by_role("button", name="Fork from here").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_text(choice).click()
            # The plan of a dry run comes before anything can be sent.
            expect(dialog.get_by_role("button", name="Fork")).to_be_enabled(timeout=PATIENCE)
            dialog.get_by_role("button", name="Fork").click()
            page.wait_for_url(lambda url: "/runs/" in url and run_id not in url, timeout=PATIENCE)
            forked = client.run(page.url.rpartition("/")[2]).run
            assert (forked.forked_from_run_id, forked.version) == (run_id, version)
        assert window.take_problems() == []
