"""A token logs in whoever the coordinator says that it belongs to."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import jwt
import pytest
import trustme

from kaon.client.bearer import Bearer
from kaon_console.beside import of_the_token
from kaon_service.access.access_settings import AccessSettings, access_from
from kaon_service.principal import Principal
from kaon_wire.errors import InvalidValue
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
LIST_RUNS = "kaonapi.run.v1.RunService/ListRuns"
JWT = jwt.encode({"exp": 4_000_000_000}, "x" * 32)
ENDED_JWT = jwt.encode({"exp": 1_000}, "x" * 32)
CALLERS = {
    JWT: ANN,
    ENDED_JWT: ANN,
    "kaon_4_revoked": ANN,
    "kaon_1_ann": ANN,
    "kaon_2_runner": a.Caller(tenant="blue", name="r", kind="runner", authentication="token"),
    "kaon_3_off": a.Caller(tenant="blue", name="x", kind="person", authentication="off"),
}


# By id: whether it was revoked.
REVOKED: dict[str, bool] = {}


async def resolve_token(request: bytes, _context: Any) -> bytes:
    """As the coordinator answers a service."""
    token_id = a.ResolveTokenRequest.FromString(request).token_id
    token = a.Token(token_id=token_id, caller=ANN)
    if REVOKED.get(token_id):
        token.revoke_time.GetCurrentTime()
    return a.ResolveTokenResponse(token=token).SerializeToString()


async def list_runs(_request: bytes, _context: Any) -> bytes:
    """As the coordinator answers when there are no runs."""
    return b""


async def who_am_i(_request: bytes, context: Any) -> bytes:
    """As the coordinator answers."""
    shown = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
    if shown not in CALLERS:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
    return a.WhoAmIResponse(caller=CALLERS[shown]).SerializeToString()


@pytest.fixture(scope="module")
def closed(console: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console before a coordinator that authenticates."""
    methods = {
        "kaonapi.access.v1.AccessService/WhoAmI": who_am_i,
        "kaonapi.access.v1.AccessService/ResolveToken": resolve_token,
        LIST_RUNS: list_runs,
    }
    service = FakeService(methods, {})
    with on_a_thread(service) as (port, _):
        settings = replace(
            console.settings,
            server=f"127.0.0.1:{port}",
            state=tmp_path_factory.mktemp("closed"),
        )
        with serving(settings) as served:
            yield served


@pytest.mark.parametrize(
    ("token", "whose"),
    [
        (
            "kaon_1_ann",
            Principal(tenant="blue", name="ann", roles=frozenset({"author", "operator"})),
        ),
        ("kaon_3_off", Principal(tenant="other", name="somebody")),
        ("", Principal(tenant="other", name="somebody")),
    ],
)
def test_the_link_of_a_command_logs_in_as_whoever_the_token_of_the_command_is_of(
    closed: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, whose: Principal
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("KAON_TOKEN", token)
    settings = replace(closed.settings, tenant="other", name="somebody", roles="")
    assert of_the_token(settings, Bearer(settings.server)).principal == whose


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


def logged_in(closed: Served, token: str) -> Browser:
    browser = Browser(closed.origin)
    browser.cookie = log_in(browser, token).headers["set-cookie"].partition(";")[0]
    return browser


def test_a_session_ends_with_the_static_token_that_it_began_with(
    closed: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert logged_in(closed, "kaon_1_ann").call(LIST_RUNS).status == 200
    monkeypatch.setitem(REVOKED, "4", True)
    refused = logged_in(closed, "kaon_4_revoked").call(LIST_RUNS)
    assert refused.status == 401
    assert "has ended: sign in again" in refused.json["message"]


def test_a_session_ends_with_the_jwt_that_it_began_with(closed: Served) -> None:
    assert logged_in(closed, JWT).call(LIST_RUNS).status == 200
    assert logged_in(closed, ENDED_JWT).get("/session").status == 401


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [
        ("kaon_9_nobody", 401, "does not count"),
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


def certified(place: Path, authority: trustme.CA) -> AccessSettings:
    """Gives a console a new certificate; what it is told of it."""
    made = authority.issue_cert("127.0.0.1")
    (place / "server.pem").write_bytes(made.cert_chain_pems[0].bytes())
    (place / "server.key").write_bytes(made.private_key_pem.bytes())
    return access_from(
        {"KAON_TLS_CERT": str(place / "server.pem"), "KAON_TLS_KEY": str(place / "server.key")}
    )


def test_a_certificate_is_replaced_while_a_browser_stays(console: Served, tmp_path: Path) -> None:
    authority = trustme.CA()
    access = certified(tmp_path, authority)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(replace(console.settings, state=tmp_path, access=access)) as served:

        def asked(line: http.client.HTTPSConnection) -> int:
            line.request("GET", "/")
            answer = line.getresponse()
            answer.read()
            return answer.status

        def opened() -> http.client.HTTPSConnection:
            return http.client.HTTPSConnection(
                "127.0.0.1", served.port, context=context, timeout=10
            )

        def shown() -> bytes:
            with contextlib.closing(opened()) as line:
                line.connect()
                assert asked(line) == 200
                found: bytes = line.sock.getpeercert(binary_form=True)
                return found

        with contextlib.closing(opened()) as kept:
            assert asked(kept) == 200
            first = shown()
            certified(tmp_path, authority)
            second = shown()
            assert second != first
            # Half of a change, such as between two files: what is there stays.
            (tmp_path / "server.key").write_text("no key")
            assert shown() == second
            certified(tmp_path, authority)
            assert shown() not in {first, second}
            assert asked(kept) == 200


def test_browsers_come_by_https_where_there_is_a_certificate(
    console: Served, tmp_path: Path
) -> None:
    authority = trustme.CA()
    access = certified(tmp_path, authority)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with serving(replace(console.settings, state=tmp_path, access=access)) as served:
        assert served.origin == f"https://127.0.0.1:{served.port}"
        link = served.link(Principal(tenant="blue", name="ann", roles=frozenset({"operator"})))
        address = ("127.0.0.1", served.port)
        line = http.client.HTTPSConnection(*address, context=context, timeout=10)
        line.request("GET", link.removeprefix(served.origin))
        answer = line.getresponse()
        cookie = answer.headers["set-cookie"]
        answer.read()
        assert (answer.status, "Secure" in cookie) == (303, True)
        assert cookie.startswith("__Host-kaon-session=")
        line.request("GET", "/session", headers={"cookie": cookie.partition(";")[0]})
        # With authentication, services ask for each role by its name.
        assert json.loads(line.getresponse().read())["roles"] == ["operator", "viewer"]
        line.close()


def test_a_certificate_that_cannot_be_used_ends_the_start(console: Served, tmp_path: Path) -> None:
    for name in ("server.pem", "server.key"):
        (tmp_path / name).write_text("no certificate")
    access = access_from(
        {
            "KAON_TLS_CERT": str(tmp_path / "server.pem"),
            "KAON_TLS_KEY": str(tmp_path / "server.key"),
        }
    )
    with (
        pytest.raises(InvalidValue, match="KAON_TLS_CERT or KAON_TLS_KEY"),
        serving(replace(console.settings, state=tmp_path, access=access)),
    ):
        pass
