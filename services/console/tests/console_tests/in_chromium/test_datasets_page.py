"""The pages of datasets: who updates one, what that starts, and updates that somebody records by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kaon import load_workflow
from kaonapi.schedule.v1 import schedule_pb2

from .looking import DARK, DESKTOP, MOBILE, looking
from .world import SOMEBODY, STRANGER, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000


@contextmanager
def _updated(world: World) -> Iterator[str]:
    """Update dataset "ratings" by a run, whose id comes back, while a schedule waits for it."""
    with world.client() as client:
        client.register(load_workflow(world.file, "small"))
        waits = schedule_pb2.Schedule(name="on-ratings", workflow="small")
        trigger = waits.triggers.any.add().all.add(name="ratings")
        trigger.dataset_updated.dataset = "ratings"
        client.schedules.put(waits)
        try:
            days = ("2026-11-23", "2026-11-24")
            for day in days:
                daily = load_workflow(world.file, "daily")
                run_id = client.submit(daily, {"day": day}).run.run_id
                for _ in client.watch(run_id):
                    pass
            yield run_id
        finally:
            client.schedules.delete("on-ratings")


def test_a_dataset_shows_who_updates_it_and_what_that_starts(
    chromium: Browser, world: World, axe: Path
) -> None:
    with _updated(world) as run_id, looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY, "/datasets")
        page = window.page
        page.get_by_role("link", name="ratings").click()
        expect(page.get_by_role("heading", name="Datasets/ratings")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("by schedule on-ratings")).to_be_visible(timeout=PATIENCE)
        row = page.get_by_role("row").filter(has_text="2026-11-24")
        expect(row.get_by_role("link", name=run_id[-8:])).to_be_visible(timeout=PATIENCE)
        # The run that it started is told when it is there.
        started = row.get_by_role("cell").last.get_by_role("link")
        expect(started).to_have_count(1, timeout=PATIENCE)
        page.get_by_role("group", name="Partition").get_by_text("2026-11-23").click()
        expect(row).to_have_count(0, timeout=PATIENCE)
        assert page.url.endswith("?partition=2026-11-23")
        page.get_by_role("button", name="Record an update").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Partition").fill("2026-11-25")
        dialog.get_by_label("Outputs (JSON)").fill("[1]")
        expect(dialog.get_by_role("button", name="Record")).to_be_disabled(timeout=PATIENCE)
        dialog.get_by_label("Outputs (JSON)").fill('{"rows": 1200}')
        dialog.get_by_role("button", name="Record").click()
        told = page.get_by_role("row").filter(has_text="2026-11-25")
        expect(told).to_contain_text("recorded by ada", timeout=PATIENCE)
        expect(told).to_contain_text("rows 1200")
        assert window.take_problems() == []


def test_pages_of_datasets_keep_nobody_out_however_they_are_looked_at(
    chromium: Browser, world: World, axe: Path
) -> None:
    found = {}
    with _updated(world), looking(chromium, world.console, DESKTOP) as window:
        window.log_in(SOMEBODY)
        for name, path in {"datasets": "/datasets", "dataset": "/datasets/ratings"}.items():
            window.go(path)
            for look in (DESKTOP, DARK, MOBILE):
                window.look(look)
                window.picture(name)
                # In the dark the page is the light one in other colours.
                barriers = window.barriers(axe, only_colours=look is DARK)
                found[f"{name}, {look.name}"] = [*window.take_problems(), *barriers]
                if (wider := window.overflow()) > 0:
                    found[f"{name}, {look.name}"].append(f"{wider} pixels wider than the window")
        window.page.get_by_role("button", name="Record an update").click()
        expect(window.page.get_by_role("dialog")).to_be_visible(timeout=PATIENCE)
        for look in (MOBILE, DARK, DESKTOP):
            window.look(look)
            window.picture("dataset-record")
    assert {name: each for name, each in found.items() if each} == {}


def test_another_tenant_sees_no_dataset(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window:
        window.log_in(STRANGER, "/datasets")
        expect(window.page.get_by_text("There is no dataset yet")).to_be_visible(timeout=PATIENCE)
        window.picture("datasets-empty")
        assert window.take_problems() == []
        window.go("/datasets/ratings")
        expect(window.page.get_by_role("alert")).to_contain_text("Not found", timeout=PATIENCE)
        window.picture("dataset-not-found")
