"""The page and its files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kaon_console.pages import check_built
from kaon_wire.errors import NotFound

from .browser import Browser
from .serving import Served, serving


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/01abc/steps/a%2Fb", "/runs/1?at=7", "/preview", "/sessions"]
)
def test_the_page_knows_its_own_paths_and_each_answer_has_a_nonce_of_its_own(
    console: Served, path: str
) -> None:
    browser = Browser(console.origin)
    nonces = set()
    for _ in range(2):
        answer = browser.get(path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        (nonce,) = set(re.findall(r'nonce="([^"]+)"', answer.body.decode()))
        assert f"script-src 'self' 'nonce-{nonce}'" in answer.headers["content-security-policy"]
        nonces.add(nonce)
    assert len(nonces) == 2
    assert "__CSP_NONCE__" not in nonces


def test_a_page_that_was_built_before_and_is_wanted_still_is_told_as_missing(
    console: Served,
) -> None:
    browser = Browser(console.origin)
    for path in ("/assets/app-0000.js", "/assets/", "/main.js", "/assets/app-1a.js.br"):
        assert browser.get(path).status == 404, "not the page: a browser would take it for a script"


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        ("gzip, deflate, br", "br", b"brotli"),
        ("gzip", "gzip", b"gzip"),
        ("br;q=0, gzip;q=0.5", "gzip", b"gzip"),
        ("identity", None, b"plain"),
        (None, None, b"plain"),
    ],
)
def test_a_file_comes_as_the_browser_takes_it(
    console: Served, accepted: str | None, encoding: str | None, body: bytes
) -> None:
    answer = Browser(console.origin).get("/assets/app-1a.js", accept_encoding=accepted or "")
    assert answer.status == 200
    assert answer.headers.get("content-encoding") == encoding
    assert answer.body == body
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["vary"] == "accept-encoding"


def test_a_worker_may_call_the_console_and_nobody_else(console: Served) -> None:
    policy = Browser(console.origin).get("/assets/app-1a.js").headers["content-security-policy"]
    assert (
        policy
        == "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"
    )


def test_other_files_are_asked_for_again(console: Served) -> None:
    answer = Browser(console.origin).get("/favicon.svg")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
    assert answer.headers["content-type"] == "image/svg+xml"


def test_without_a_build_everything_else_answers_and_the_page_says_what_is_missing(
    console: Served, tmp_path: Path
) -> None:
    with serving(replace(console.settings, state=tmp_path / "state", pages=tmp_path)) as served:
        browser = Browser(served.origin)
        answer = browser.get("/")
        assert answer.status == 503
        assert b"Node.js" in answer.body
        assert browser.get("/health").status == 200
        assert served.browser().get("/session").json["build"] == ""
    with pytest.raises(NotFound, match=r"Node\.js"):
        check_built(tmp_path)
