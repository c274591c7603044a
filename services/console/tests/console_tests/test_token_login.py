"""A token logs in whoever the coordinator says that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from kaonapi.access.v1 import access_service_pb2 as a

from .browser import Answer, Browser
from .serving import FakeService, Served, on_a_thread, serving

ANN = a.Caller(
    tenant="blue",
    name="ann",
    roles=["author", "operator"],
    kind="person",
    authentication="token",
)
CALLERS = {
    "kaon_1_ann": ANN,
    "kaon_2_runner": a.Caller(tenant="blue", name="r", kind="runner", authentication="token"),
    "kaon_3_off": a.Caller(tenant="blue", name="x", kind="person", authentication="off"),
}


async def who_am_i(_request: bytes, context: Any) -> bytes:
    """As the coordinator answers."""
    shown = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
    if shown not in CALLERS:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
    return a.WhoAmIResponse(caller=CALLERS[shown]).SerializeToString()


@pytest.fixture(scope="module")
def closed(console: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console before a coordinator that authenticates."""
    service = FakeService({"kaonapi.access.v1.AccessService/WhoAmI": who_am_i}, {})
    with on_a_thread(service) as (port, _):
        settings = replace(
            console.settings,
            server=f"127.0.0.1:{port}",
            state=tmp_path_factory.mktemp("closed"),
        )
        with serving(settings) as served:
            yield served


def log_in(browser: Browser, token: str, **headers: str | None) -> Answer:
    return browser.post("/login", f"token={quote(token)}".encode(), **headers)


def test_a_token_begins_a_session_of_its_holder(closed: Served) -> None:
    browser = Browser(closed.origin)
    answer = log_in(browser, " kaon_1_ann\n")
    assert (answer.status, answer.body) == (204, b"")
    assert "HttpOnly" in answer.headers["set-cookie"]
    browser.cookie = answer.headers["set-cookie"].partition(";")[0]
    told = browser.get("/session").json
    assert (told["tenant"], told["name"], told["roles"]) == ("blue", "ann", ["author", "operator"])


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("kaon_9_nobody", 401, "no valid credentials"),
        ("kaon_2_runner", 403, "token of a runner"),
        ("kaon_3_off", 400, "authenticates nobody"),
        ("a b", 401, "no token"),
        ("a\r\nb: c", 401, "no token"),
        ("\u00e9", 401, "no token"),
        ("x" * 17_000, 429, "at most"),
    ],
)
def test_what_begins_no_session_says_why(
    closed: Served, token: str, status: int, words: str
) -> None:
    answer = log_in(Browser(closed.origin), token)
    assert answer.status == status
    assert words in answer.json["message"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"token", b"other=1", b"token=a&token=b", b"\xff"])
def test_a_form_of_another_kind_is_refused(closed: Served, body: bytes) -> None:
    assert Browser(closed.origin).post("/login", body).status == 400


def test_another_site_logs_nobody_in(closed: Served) -> None:
    browser = Browser(closed.origin)
    assert log_in(browser, "kaon_1_ann", origin="https://evil.example").status == 403
    assert log_in(browser, "kaon_1_ann", origin=None).status == 403


def test_without_a_coordinator_nobody_logs_in(console: Served, tmp_path: Path) -> None:
    answer = log_in(Browser(console.origin), "kaon_1_ann")
    assert answer.status == 503
    assert "does not answer" in answer.json["message"]
