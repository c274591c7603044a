"""Whatever a browser can be made to send by pages of others, nothing of it is served."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from kaon_console.settings import Settings, origins_of, settings_from
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_service_pb2

from .browser import Browser
from .serving import Served, serving

METHOD = "kaonapi.run.v1.RunService/ListRuns"


def raw(console: Served, text: str) -> bytes:
    """What comes back to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
        return b"".join(pieces)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.0.0.1.evil.example:{port}",
        "localhost.:{port}",
        "",
    ],
)
@pytest.mark.parametrize(
    "path", ["/", "/session", "/login?token=x", "/health", "/assets/app-1a.js"]
)
def test_another_host_is_not_served(console: Served, host: str, path: str) -> None:
    answer = console.browser().get(path, host=host.replace("{port}", str(console.port)))
    assert answer.status == 421
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"]
)
def test_the_names_of_this_machine_are_served(console: Served, host: str) -> None:
    assert (
        Browser(console.origin).get("/", host=host.replace("{port}", str(console.port))).status
        == 200
    )


def test_a_request_without_a_host_is_not_served(console: Served) -> None:
    assert b" 421 " in raw(console, "GET / HTTP/1.0\r\n\r\n")
    two = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\nHost: evil.example\r\n\r\n"
    assert raw(console, two).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": None},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
@pytest.mark.parametrize("path", [f"/api/{METHOD}", "/logout"])
def test_pages_of_others_may_not_post(console: Served, headers: dict[str, str], path: str) -> None:
    browser = console.browser()
    answer = browser.post(
        path, content_type="application/proto", connect_protocol_version="1", **headers
    )
    assert answer.status == 403
    assert browser.get("/session").status == 200, "nobody was logged out"


def test_an_origin_of_another_name_of_this_machine_is_the_same_console(console: Served) -> None:
    browser = console.browser()
    answer = browser.post("/logout", origin=f"http://localhost:{console.port}")
    assert answer.status == 204


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_calls_are_posts(console: Served, verb: str) -> None:
    browser = console.browser()
    answer = browser.request(verb, f"/api/{METHOD}", headers={"origin": console.origin})
    assert answer.status == 405


def test_a_preflight_allows_nobody(console: Served) -> None:
    answer = console.browser().request(
        "OPTIONS",
        f"/api/{METHOD}",
        headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
    )
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/session", "/preview/r1", "/", "/assets/app-1a.js"])
def test_pages_of_others_may_load_nothing(console: Served, path: str) -> None:
    answer = console.browser().get(
        path, sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image"
    )
    assert answer.status == 403


def test_a_link_elsewhere_leads_to_the_page_and_to_no_preview(console: Served) -> None:
    browser = console.browser()
    leads = {
        "sec_fetch_site": "cross-site",
        "sec_fetch_mode": "navigate",
        "sec_fetch_dest": "document",
    }
    assert browser.get("/runs/1", **leads).status == 200
    assert browser.get("/preview/r1", **leads).status == 403
    assert browser.get("/", **(leads | {"sec_fetch_dest": "iframe"})).status == 403


def test_what_a_form_can_send_is_no_call(console: Served) -> None:
    browser = console.browser()
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
        "application/json",
        "",
    ):
        assert browser.call(METHOD, content_type=kind).status == 415
    assert browser.call(METHOD, connect_protocol_version=None).status == 400


def test_without_a_session_nothing_is_passed_on(console: Served) -> None:
    browser = Browser(console.origin)
    answer = browser.call(METHOD, run_service_pb2.ListRunsRequest())
    assert answer.status == 401
    assert answer.json["code"] == "unauthenticated"
    with browser.stream("kaonapi.run.v1.RunService/WatchRun") as stream:
        assert stream.status == 401
    assert browser.get("/preview/r1").status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/session",
        "/nowhere",
        "/assets/none.js",
        "/assets/app-1a.js",
        "/login",
        "/preview/x",
        "/api/x",
    ],
)
def test_every_answer_has_the_headers_that_protect_it(console: Served, path: str) -> None:
    headers = Browser(console.origin).get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize(
    "text",
    [
        "GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /assets/../../settings.py HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET /assets/..%2f..%2fsettings.py HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET //evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "POST /logout HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nX: a\r\n b\x00\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\n" + "X: y\r\n" * 20_000 + "\r\n",
        "\x16\x03\x01\x02\x00",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ],
)
def test_hostile_requests_get_nothing_and_break_nothing(console: Served, text: str) -> None:
    answer = raw(console, text.replace("{host}", f"127.0.0.1:{console.port}"))
    assert b"root:" not in answer
    assert b"dataclass" not in answer
    assert b"location: //" not in answer.lower()
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert Browser(console.origin).get("/health").status == 200


def test_other_machines_are_let_in_by_name_only(tmp_path: Path) -> None:
    for address in ("0.0.0.0:7072", "[::]:7072", "192.0.2.1:7072", "kaon.example.org:7072"):
        with pytest.raises(InvalidValue, match="KAON_CONSOLE_ORIGINS"):
            origins_of(Settings(address=address), 7072)
        named = Settings(address=address, origins=("https://kaon.example.org",))
        assert origins_of(named, 7072) == named.origins
    assert origins_of(Settings(), 7072)[0] == "http://127.0.0.1:7072"


def test_an_origin_with_the_usual_port_is_called_without_it(
    console: Served, tmp_path: Path
) -> None:
    settings = replace(console.settings, origins=("https://kaon.example.org",), state=tmp_path)
    with serving(settings) as served:
        browser = Browser(f"http://127.0.0.1:{served.port}")
        assert browser.get("/health", host="kaon.example.org").status == 200
        assert browser.get("/health", host="kaon.example.org:443").status == 200
        assert browser.get("/health", host=f"127.0.0.1:{served.port}").status == 421


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAON_CONSOLE_ORIGINS", "kaon.example.org"),
        ("KAON_CONSOLE_ORIGINS", "https://kaon.example.org/path"),
        ("KAON_CONSOLE_ORIGINS", "ftp://kaon.example.org"),
        ("KAON_CONSOLE_STREAMS", "many"),
        ("KAON_CONSOLE_SESSION_HOURS", "0"),
        ("KAON_PREVIEW_BYTES", "-1"),
        ("KAON_TENANT", "No Tenant"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(InvalidValue, match=name.replace("KAON_TENANT", "kaon-tenant")):
        settings_from({name: value})


def test_somebody_is_whom_the_environment_names() -> None:
    told = settings_from(
        {"KAON_TENANT": "team", "KAON_PRINCIPAL": "Ada L.", "KAON_ROLES": "ml, ops"}
    ).principal
    assert (told.tenant, told.name, told.roles) == ("team", "Ada L.", {"ml", "ops"})
