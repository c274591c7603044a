"""Who gets in, and how."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from kaon_console.login import local_time_zone
from kaon_console.tickets import Tickets
from kaon_service.principal import Principal
from kaon_wire.version import VERSION

from .browser import Browser
from .serving import SOMEBODY, Served, serving


def test_a_link_logs_in_as_whom_it_is_for(console: Served) -> None:
    told = console.browser(
        Principal(tenant="other", name="Ada L.", roles=frozenset({"b", "a"}))
    ).get("/session")
    assert told.status == 200
    assert told.json["tenant"] == "other"
    assert told.json["name"] == "Ada L."
    assert told.json["roles"] == ["a", "b"]
    assert told.json["version"] == VERSION
    assert told.json["build"]
    assert told.json["timeZone"]
    assert told.json["readOnly"] is False


def test_a_link_is_good_once(console: Served) -> None:
    link = console.link().removeprefix(console.origin)
    assert Browser(console.origin).get(link).status == 303
    again = Browser(console.origin).get(link)
    assert again.status == 403
    assert "ask the test" in again.body.decode()
    assert "set-cookie" not in again.headers


def test_the_browser_that_has_used_a_link_may_follow_it_again(console: Served) -> None:
    link = console.link(page="/runs")
    browser = Browser(console.origin, link)
    again = browser.get(link.removeprefix(console.origin))
    assert (again.status, again.headers["location"]) == (303, "/runs")


def test_of_many_that_use_a_link_at_once_one_gets_in(tmp_path: Path) -> None:
    tickets = Tickets(tmp_path / "links", seconds=60)
    secret = tickets.issue(SOMEBODY)
    found: list[object] = []
    gate = threading.Barrier(8)

    def take() -> None:
        gate.wait()
        found.append(tickets.spend(secret))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in found) == 1


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(console: Served) -> None:
    answer = Browser(console.origin).get(console.link().removeprefix(console.origin))
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert cookie.startswith(f"kaon-session-{console.origin.rpartition(':')[2]}="), (
        "cookies know no ports"
    )
    assert {"HttpOnly", "Path=/"} <= set(attributes)
    assert "SameSite=strict" in attributes
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer", "the link is told to nobody"


def test_behind_tls_the_cookie_is_secure_and_of_this_host_alone(
    console: Served, tmp_path: Path
) -> None:
    settings = replace(console.settings, origins=("https://kaon.example.org",), state=tmp_path)
    with serving(settings) as served:
        path = served.link().removeprefix("https://kaon.example.org")
        answer = Browser(f"http://127.0.0.1:{served.port}").get(path, host="kaon.example.org")
        assert answer.status == 303
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert cookie.startswith("__Host-kaon-session=")
        assert "Secure" in attributes


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "",
        "runs",
        "/a\r\nset-cookie: b=c",
        "/ä",
        "/a b",
    ],
)
def test_a_link_leads_nowhere_else(console: Served, target: str) -> None:
    link = console.link()
    answer = Browser(console.origin).get(
        f"{link.removeprefix(console.origin)}&next={quote(target, safe='')}"
    )
    assert answer.status == 400
    assert "location" not in answer.headers
    assert Browser(console.origin).get(link.removeprefix(console.origin)).status == 303, (
        "it was not spent"
    )


def test_logging_out_ends_the_session_everywhere(console: Served) -> None:
    browser = console.browser()
    answer = browser.post("/logout")
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get("/session").status == 401, (
        "the cookie that somebody has copied is worth nothing"
    )


def test_a_session_outlives_the_console_and_its_files_tell_no_secret(
    console: Served, tmp_path: Path
) -> None:
    settings = replace(console.settings, state=tmp_path)
    with serving(settings) as served:
        cookie = served.browser().cookie
    with serving(settings) as served:
        # As at the port that it had before.
        browser = Browser(served.origin)
        browser.cookie = f"kaon-session-{served.port}={cookie.partition('=')[2]}"
        assert browser.get("/session").json["name"] == "somebody"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(cookie.partition("=")[2] in path.read_text() + path.name for path in files)
    assert {path.stat().st_mode & 0o077 for path in [*files, *(path.parent for path in files)]} == {
        0
    }


def test_links_and_sessions_expire(tmp_path: Path) -> None:
    now = 1000.0
    tickets = Tickets(tmp_path / "links", seconds=60, now=lambda: now)
    secret = tickets.issue(SOMEBODY)
    now = 1059.0
    assert tickets.find(secret) is not None
    now = 1060.0
    assert tickets.find(secret) is None
    assert tickets.spend(secret) is None
    tickets.issue(SOMEBODY)
    assert len(list((tmp_path / "links").iterdir())) == 1, "what has expired is deleted"


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x",
        "kaon-session",
        "kaon-session-{port}",
        "kaon-session-{port}=",
        "kaon-session-{port}=../links/x",
        "kaon-session-{port}=\x01",
        "=;=;;",
        "a=" + "b" * 4000,
    ],
)
def test_other_cookies_are_nobody(console: Served, cookie: str) -> None:
    browser = Browser(console.origin)
    answer = browser.get("/session", cookie=cookie.replace("{port}", str(console.port)))
    assert answer.status == 401
    assert answer.json["code"] == "unauthenticated"


def test_a_link_of_the_other_kind_opens_nothing(console: Served) -> None:
    token = console.link().partition("token=")[2]
    browser = Browser(console.origin)
    browser.cookie = f"kaon-session-{console.port}={token}"
    assert browser.get("/session").status == 401


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("Europe/Berlin", "Europe/Berlin"), (":Europe/Berlin", "Europe/Berlin"), ("", "Asia/Tokyo")],
)
def test_the_time_zone_is_the_one_of_the_machine(
    tmp_path: Path, variable: str, expected: str
) -> None:
    zone = tmp_path / "zoneinfo" / "Asia" / "Tokyo"
    zone.parent.mkdir(parents=True)
    zone.touch()
    (tmp_path / "localtime").symlink_to(zone)
    assert local_time_zone(variable, tmp_path / "localtime") == expected


def test_a_machine_without_a_zone_is_at_utc(tmp_path: Path) -> None:
    assert local_time_zone("", tmp_path / "none") == "UTC"
