"""An action on five hundred runs: exact ids before, progress while it goes on, reasons after, and nothing done twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from kaon import load_workflow
from kaon.client import Client
from kaonapi.run.v1 import run_pb2, run_service_pb2

from .looking import DARK, DESKTOP, MOBILE, Looking, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Milliseconds; only for what never comes.
PATIENCE = 120_000
MANY = 500
AT_ONCE = 10
_NO = {"code": "failed_precondition", "message": "somebody holds this run"}


class _Calls:
    """The calls of one method that a page makes: how many at once, and what becomes of those of some runs."""

    def __init__(self, page: Page, method: str) -> None:
        self.most = 0
        self.sent: Counter[str] = Counter()
        self._going: set[Request] = set()
        self._faults: dict[str, Callable[[Route], None]] = {}
        self._path = f"/api/kaonapi.run.v1.RunService/{method}"
        self._read: Callable[[bytes], str] = lambda body: (
            getattr(run_service_pb2, f"{method}Request").FromString(body).run_id
        )
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_end)
        page.context.route(f"**{self._path}", self._on_route)

    def fail_once(self, run_ids: list[str], fault: Callable[[Route], None]) -> None:
        """Lets the next call for each of these runs fail."""
        self._faults |= dict.fromkeys(run_ids, fault)

    def _on_request(self, request: Request) -> None:
        if urlsplit(request.url).path == self._path:
            self._going.add(request)
            self.most = max(self.most, len(self._going))

    def _on_end(self, request: Request) -> None:
        self._going.discard(request)

    def _on_route(self, route: Route) -> None:
        run_id = self._read(route.request.post_data_buffer or b"")
        self.sent[run_id] += 1
        self._faults.pop(run_id, Route.continue_)(route)


def _refuse(route: Route) -> None:
    route.fulfill(status=400, content_type="application/json", body=json.dumps(_NO))


def _lose_the_answer(route: Route) -> None:
    route.fetch()
    route.abort()


@contextmanager
def _parked(world: World) -> Iterator[tuple[Client, list[str]]]:
    """Runs that wait at their gates."""
    with world.client() as client:
        workflow = load_workflow(world.file, "parked")
        runs = [each.run.run_id for each in client.submit_many(workflow, [{}] * MANY)]
        try:
            yield client, runs
        finally:
            for each in client.runs(workflow="parked", limit=4 * MANY):
                client.cancel(each.run_id, "the test is over")


def _choose_all(window: Looking, search: str) -> Locator:
    window.go(f"/runs?workflow=parked&{search}")
    page = window.page
    page.get_by_role("checkbox", name="Choose all runs that are loaded").click()
    toolbar = page.get_by_role("toolbar", name="Chosen runs")
    toolbar.get_by_role("button", name="more", exact=False).click()
    expect(toolbar).to_contain_text(f"{MANY} runs chosen", timeout=PATIENCE)
    return toolbar


def test_five_hundred_runs_are_cancelled_retried_and_rerun_each_once(
    chromium: Browser, world: World
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, _parked(world) as (client, runs):
        window.log_in(SOMEBODY)
        page, dialog = window.page, window.page.get_by_role("dialog")
        rows = dialog.get_by_role("listitem")
        refused, lost = runs[100:105], runs[300:305]

        calls = _Calls(page, "CancelRun")
        calls.fail_once(refused, _refuse)
        calls.fail_once(lost, _lose_the_answer)
        _choose_all(window, "status=RUNNING").get_by_role("button", name="Cancel").click()
        # Each of the ids can be looked up before anything is sent; the page holds those in sight.
        expect(rows.first).to_have_attribute("aria-setsize", str(MANY), timeout=PATIENCE)
        assert rows.count() < 60
        find = dialog.get_by_role("textbox", name="Find a run among these")
        find.fill(runs[321])
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(runs[321])
        find.fill("")
        window.picture("bulk-asked")
        assert not calls.sent
        dialog.get_by_role("button", name=f"Cancel {MANY} runs").click()
        expect(dialog.get_by_role("progressbar")).to_be_visible()
        window.picture("bulk-going")
        # Who closes the dialog, and goes elsewhere, is told how far it comes.
        dialog.get_by_role("button", name="Close").last.click()
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Overview").click()
        strip = page.get_by_role("region", name="An action on many runs")
        # On a busy machine more of them may get no answer in time.
        expect(strip).to_contain_text(re.compile(r"Cancelled \d+ runs\d+ failed"), timeout=PATIENCE)
        for look in (DESKTOP, DARK, MOBILE):
            window.look(look)
            window.picture("bulk-strip")
            assert window.overflow() <= 0
        window.look(DESKTOP)
        strip.get_by_role("button", name="Show").click()
        dialog.get_by_role("button", name=re.compile(r"^Failed \d+$")).click()
        for run_ids, reason in ((refused, "Somebody holds this run"), (lost, "done or not")):
            for run_id in run_ids:
                find.fill(run_id)
                expect(rows).to_have_count(1)
                expect(rows).to_contain_text(reason)
        find.fill("")
        for look in (DESKTOP, DARK, MOBILE):
            window.look(look)
            window.picture("bulk-partly-failed")
        window.look(DESKTOP)
        _try_again_until_done(dialog)
        assert calls.most == AT_ONCE
        assert {*refused, *lost} <= {run_id for run_id, count in calls.sent.items() if count > 1}
        _until_all(client, runs, run_pb2.STATUS_CANCELLED)

        calls = _Calls(page, "RetryRun")
        calls.fail_once(lost, _lose_the_answer)
        _choose_all(window, "status=CANCELLED").get_by_role("button", name="Retry").click()
        dialog.get_by_role("button", name=f"Retry {MANY} runs").click()
        _try_again_until_done(dialog)
        # A retry has no key: of those whose answers were lost it was seen that it had come.
        assert {calls.sent[run_id] for run_id in lost} == {1}
        for run_id in (*lost, *refused):
            kinds = [each.WhichOneof("event") for each in client.history(run_id)]
            assert kinds.count("blocks_reset") == 1, kinds

        calls = _Calls(page, "RerunRun")
        calls.fail_once(lost, _lose_the_answer)
        _choose_all(window, "status=RUNNING").get_by_role("button", name="Rerun").click()
        dialog.get_by_role("button", name=f"Rerun {MANY} runs").click()
        _try_again_until_done(dialog)
        assert {calls.sent[run_id] for run_id in lost} == {2}
        made = Counter(
            each.origin for each in client.runs(workflow="parked", limit=4 * MANY) if each.origin
        )
        assert made == Counter({f"rerun:{run_id}": 1 for run_id in runs})
        assert [each for each in window.take_problems() if "RunService" not in each] == []


def test_what_is_stopped_half_way_says_what_was_not_sent(chromium: Browser, world: World) -> None:
    with looking(chromium, world.console, DESKTOP) as window, _parked(world) as (client, runs):
        window.log_in(SOMEBODY)
        page, dialog = window.page, window.page.get_by_role("dialog")
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.context.route("**/kaonapi.run.v1.RunService/CancelRun", hold)
        _choose_all(window, "status=RUNNING").get_by_role("button", name="Cancel").click()
        dialog.get_by_role("button", name=f"Cancel {MANY} runs").click()
        expect(dialog.get_by_text("asking…")).to_have_count(AT_ONCE, timeout=PATIENCE)
        dialog.get_by_role("button", name="Stop here").click()
        while held:
            held.pop().continue_()
            page.evaluate("0")
        expect(dialog.get_by_text("490 runs were not sent")).to_be_visible(timeout=PATIENCE)
        window.picture("bulk-stopped")
        expect(dialog.get_by_role("button", name="Try those 490 again")).to_be_enabled()
        ended = [each for each in runs if client.run(each).run.status == run_pb2.STATUS_CANCELLED]
        assert len(ended) == AT_ONCE
        assert window.take_problems() == []


def _try_again_until_done(dialog: Locator) -> None:
    again = dialog.get_by_role("button", name=re.compile("^Try th"))
    done = dialog.get_by_text(f"Done for {MANY} runs.")
    expect(again).to_be_visible(timeout=PATIENCE)
    while not done.is_visible():
        again.click()
        expect(again.or_(done).first).to_be_visible(timeout=PATIENCE)
    dialog.get_by_role("button", name="Close").last.click()


def _until_all(client: Client, runs: list[str], status: int) -> None:
    for run_id in runs:
        client.until_ended(run_id)
        assert client.run(run_id).run.status == status
