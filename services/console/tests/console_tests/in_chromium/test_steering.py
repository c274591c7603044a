"""What people decide while a run goes on: breakpoints, signals and approvals with values; and cells whose runs they open."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, expect

from kaon import load_workflow
from kaon_local.paths import ROOT
from kaonapi.run.v1 import run_pb2

from .looking import DESKTOP, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000


def test_a_run_is_held_at_a_breakpoint_and_its_gates_are_answered_with_values(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        gates = load_workflow(ROOT / "examples" / "gates" / "workflow.py")
        run_id = client.submit(gates, {}).run.run_id
        page = window.page
        window.log_in(SOMEBODY, f"/runs/{run_id}?step=load")
        page.get_by_role("button", name="Break before it starts").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Reason").fill("to look at the inputs")
        dialog.get_by_role("button", name="Break before it starts").click()
        expect(page.get_by_text("load waits before it starts")).to_be_visible(timeout=PATIENCE)
        window.go(f"/runs/{run_id}?step=data-ready")
        send = page.get_by_role("button", name="Send the signal")
        expect(send).to_be_disabled(timeout=PATIENCE)
        page.get_by_label("ratings").first.fill("[3, 4, 5]")
        send.click()
        expect(page.get_by_text("Sent the signal data-ready")).to_be_visible(timeout=PATIENCE)
        window.go(f"/runs/{run_id}?step=load")
        page.get_by_role("button", name="Continue", exact=True).click()
        dialog.get_by_role("button", name="Continue").click()
        expect(page.get_by_text("load goes on")).to_be_visible(timeout=PATIENCE)
        window.go(f"/runs/{run_id}?step=release")
        expect(page.get_by_text("Publish the mean?").first).to_be_visible(timeout=PATIENCE)
        window.picture("run-gate")
        page.get_by_label("channel").first.click()
        page.get_by_role("option", name="stable").click()
        page.get_by_label("Comment").fill("looks good")
        page.get_by_role("button", name="Approve").click()
        for _ in client.watch(run_id):
            pass
        ended = client.run(run_id)
        assert ended.run.status == run_pb2.STATUS_SUCCEEDED
        (answer,) = (block for block in ended.blocks if block.path == "release")
        told = {name: json.loads(value) for name, value in answer.outputs_json.items()}
        assert (told["channel"], told["comment"], told["by"]) == ("stable", "looks good", "ada")
        assert window.take_problems() == []


def test_the_run_of_a_cells_sub_workflow_opens_inside_of_the_drawing(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "spread"), {}).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page = window.page
        page.get_by_role("button", name="Open child").click()
        within = page.locator('.react-flow__node[data-id="child > within"]')
        expect(within.get_by_role("img", name="Succeeded")).to_be_visible(timeout=PATIENCE)
        card = page.locator('.react-flow__node[data-id="child"]')
        expect(card.get_by_text("1 of 3")).to_be_visible(timeout=PATIENCE)
        expect(card.get_by_role("button", name="The cell before")).to_be_disabled()
        card.get_by_role("button", name="The next cell").click()
        expect(card.get_by_text("2 of 3")).to_be_visible(timeout=PATIENCE)
        window.picture("run-nested-cell")
        # The address holds the cell. A press on a node leads to the run of that cell.
        window.go(page.url.removeprefix(world.console.origin))
        second = {block.path: block.child_run_id for block in client.run(run_id).blocks}
        within.click()
        page.wait_for_url("**/runs/*?step=within", timeout=PATIENCE)
        child = page.url.rpartition("/")[2].partition("?")[0]
        parent = client.run(child).run
        assert parent.parent_run_id == run_id
        assert second[parent.parent_path] == child
        # Any cell is opened from its own panel, too.
        window.go(f"/runs/{run_id}?step={parent.parent_path}")
        page.get_by_role("button", name="Open in the drawing").click()
        expect(card.get_by_text("2 of 3")).to_be_visible(timeout=PATIENCE)
        assert window.take_problems() == []


def test_the_run_in_a_cell_of_a_cell_opens_inside_of_the_drawing(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(world.file, "deep"), {}).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, f"/runs/{run_id}")
        page = window.page
        page.get_by_role("button", name="Open leaf").click()
        within = page.locator('.react-flow__node[data-id="leaf > within"]')
        expect(within.get_by_role("img", name="Succeeded")).to_be_visible(timeout=PATIENCE)
        card = page.locator('.react-flow__node[data-id="leaf"]')
        expect(card.get_by_text("1 of 2")).to_be_visible(timeout=PATIENCE)
        expect(card.get_by_text("1 of 3")).to_be_visible(timeout=PATIENCE)
        card.get_by_role("button", name="The next cell of each-shade").click()
        expect(card.get_by_text("2 of 3")).to_be_visible(timeout=PATIENCE)
        window.picture("run-cell-of-cell")
        # Another cell of the outer one begins with its first inner one.
        card.get_by_role("button", name="The next cell of each-day").click()
        expect(card.get_by_text("2 of 2")).to_be_visible(timeout=PATIENCE)
        expect(card.get_by_text("1 of 3")).to_be_visible(timeout=PATIENCE)
        expect(card.get_by_role("button", name="The next cell of each-day")).to_be_disabled()
        expect(within.get_by_role("img", name="Succeeded")).to_be_visible(timeout=PATIENCE)
        window.go(page.url.removeprefix(world.console.origin))
        within.click()
        page.wait_for_url("**/runs/*?step=within", timeout=PATIENCE)
        child = client.run(page.url.rpartition("/")[2].partition("?")[0]).run
        assert child.parent_run_id == run_id
        assert child.parent_path.startswith("each-day[tue]/each-shade[red]")
        assert window.take_problems() == []
