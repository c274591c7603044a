"""Logs as files: streamed, for whoever is logged in, and broken off visibly when they break off."""

from __future__ import annotations

import http.client
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from kaonapi.log.v1 import log_pb2

from .serving import SOMEBODY, FakeService, Served, on_a_thread, serving

READ = "kaonapi.log.v1.LogService/ReadWholeLog"
PIECE = 256 * 1024


@dataclass(kw_only=True)
class Coordinator:
    """Has one log, of a run of one tenant; it notes what it is asked, and how far it was read."""

    pieces: int = 4
    # Breaks off before that piece; -1: never.
    breaks_at: int = -1
    sent: int = 0
    asked: list[log_pb2.ReadWholeLogRequest] = field(default_factory=list)

    async def read(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Tell it in pieces."""
        wish = log_pb2.ReadWholeLogRequest.FromString(request)
        self.asked.append(wish)
        tenant = dict(context.invocation_metadata())["kaon-tenant"]
        if (tenant, wish.run_id) != (SOMEBODY.tenant, "r1"):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no run {wish.run_id}")
        first = log_pb2.ReadWholeLogResponse(
            attempt=3, size_bytes=self.pieces * PIECE, digest="sha256:0"
        )
        yield first.SerializeToString()
        self.sent = 0
        for number in range(self.pieces):
            if number == self.breaks_at:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the artifact store is away")
            yield log_pb2.ReadWholeLogResponse(data=b"x" * PIECE).SerializeToString()
            self.sent += 1


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator()


@pytest.fixture
def shown(console: Served, coordinator: Coordinator, tmp_path: Path) -> Iterator[Served]:
    """A console before it."""
    with on_a_thread(FakeService({}, {READ: coordinator.read})) as (port, _):
        settings = replace(console.settings, server=f"127.0.0.1:{port}", state=tmp_path)
        with serving(settings) as served:
            yield served


def test_a_log_is_a_file(shown: Served, coordinator: Coordinator) -> None:
    answer = shown.browser().get("/log/r1?path=regions%5BUS%5D%2Ftrain&attempt=3")
    assert (answer.status, answer.body) == (200, b"x" * PIECE * 4)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == (
        'attachment; filename="regions_US_train-3.log"'
    )
    assert answer.headers["content-length"] == str(PIECE * 4)
    assert answer.headers["cache-control"] == "no-store"
    (asked,) = coordinator.asked
    assert (asked.path, asked.attempt, asked.offset) == ("regions[US]/train", 3, 0)


def test_a_log_that_nobody_takes_is_not_read_ahead(shown: Served, coordinator: Coordinator) -> None:
    coordinator.pieces = 2_000
    browser = shown.browser()
    connection = browser.connect()
    connection.request("GET", "/log/r1?path=s", headers={"cookie": browser.cookie})
    with closing(connection), closing(connection.getresponse()) as answer:
        assert len(answer.read(PIECE)) == PIECE
        # What lies between them is bounded by buffers of sockets and of flow control: half a gigabyte does not.
        assert coordinator.sent < 200


def test_a_log_that_breaks_off_is_no_whole_file(shown: Served, coordinator: Coordinator) -> None:
    coordinator.breaks_at = 2
    with pytest.raises(http.client.IncompleteRead):
        shown.browser().get("/log/r1?path=s")


def test_a_log_of_another_tenant_is_none(shown: Served) -> None:
    answer = shown.browser(replace(SOMEBODY, tenant="strangers")).get("/log/r1?path=s")
    assert (answer.status, answer.body) == (404, b"there is no run r1\n")
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize("attempt", ["x", "-1", "1.5", "9" * 12, "\u0661"])
def test_an_attempt_is_a_number(shown: Served, coordinator: Coordinator, attempt: str) -> None:
    answer = shown.browser().get(f"/log/r1?path=s&attempt={quote(attempt)}")
    assert answer.status == 400
    assert coordinator.asked == []


def test_a_log_ends_with_its_session(shown: Served, coordinator: Coordinator) -> None:
    coordinator.pieces = 2_000
    browser = shown.browser()
    connection = browser.connect()
    connection.request("GET", "/log/r1?path=s", headers={"cookie": browser.cookie})
    with closing(connection), closing(connection.getresponse()) as answer:
        answer.read(PIECE)
        assert browser.post("/logout").status == 204
        with pytest.raises(http.client.IncompleteRead):
            answer.read()


def test_nobody_gets_no_log(shown: Served, coordinator: Coordinator) -> None:
    browser = shown.browser()
    browser.cookie = ""
    assert browser.get("/log/r1?path=s").status == 401
    assert coordinator.asked == []


def test_another_site_leads_to_no_log(shown: Served, coordinator: Coordinator) -> None:
    answer = shown.browser().get(
        "/log/r1?path=s",
        sec_fetch_site="cross-site",
        sec_fetch_mode="navigate",
        sec_fetch_dest="document",
    )
    assert answer.status == 403
    assert coordinator.asked == []
