"""People log in by an OIDC issuer: the browser gets a session and no token, and nobody is logged in by another's login."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.error import HTTPError

import grpc
import jwt
import pytest

from kaon_console.issuer import IssuerSettings
from kaon_console.settings import settings_from
from kaon_local.issuer.grants import Grants, Person
from kaon_local.issuer.serving import serving as serving_issuer
from kaon_wire.errors import InvalidValue
from kaonapi.access.v1 import access_service_pb2 as a

from .browser import Browser
from .serving import FakeService, Served, on_a_thread, serving

ANN, EVE = Person(name="ann", claims={}), Person(name="eve", claims={})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A console, and the issuer by which people log in there."""

    console: Served
    grants: Grants

    def begin(self, browser: Browser, page: str = "/runs") -> str:
        """Returns where the browser is sent, and keeps its cookie."""
        answer = browser.get(f"/login/issuer?next={page}")
        assert answer.status == 303, answer
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        browser.cookie = cookie.partition(";")[0]
        return answer.headers["location"]

    def confirm(self, address: str, person: str = "ann") -> str:
        """Says at the issuer who somebody is; returns the path by which the browser comes back."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
        form = urllib.parse.urlencode(asked | {"person": person}).encode()
        try:
            _OPENER.open(f"{self.grants.url}/authorize", form, timeout=10)
        except HTTPError as moved:
            back = str(moved.headers["location"])
            assert back.startswith(f"{self.console.origin}/login/issuer/back?")
            return back.removeprefix(self.console.origin)
        raise AssertionError("the issuer keeps the browser")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follows nothing."""


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())


@pytest.fixture(scope="module")
def place(console: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serving_issuer([ANN, EVE]) as grants:
        (key,) = jwt.PyJWKSet.from_dict(grants.keys()).keys

        async def who_am_i(_request: bytes, context: Any) -> bytes:
            shown = dict(context.invocation_metadata())["authorization"].removeprefix("Bearer ")
            try:
                claims = jwt.decode(shown, key, audience="kaon", issuer=grants.url)
            except jwt.PyJWTError:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
            told = a.Caller(tenant="blue", name=claims["sub"], kind="person", authentication="oidc")
            return a.WhoAmIResponse(caller=told).SerializeToString()

        service = FakeService({"kaonapi.access.v1.AccessService/WhoAmI": who_am_i}, {})
        with on_a_thread(service) as (port, _):
            settings = replace(
                console.settings,
                server=f"127.0.0.1:{port}",
                state=tmp_path_factory.mktemp("issuer"),
                issuer=IssuerSettings(url=grants.url),
            )
            with serving(settings) as served:
                yield Place(console=served, grants=grants)


def test_a_browser_that_comes_back_has_a_session_and_no_token(place: Place) -> None:
    browser = Browser(place.console.origin)
    assert browser.get("/login/ways").json == {"issuer": place.grants.url.removeprefix("http://")}
    address = place.begin(browser, "/runs?status=FAILED")
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
    back = place.confirm(address)
    cross_site = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = browser.get(back, **cross_site, **{"sec-fetch-dest": "document"})
    assert (answer.status, answer.headers["location"]) == (303, "/runs?status=FAILED")
    session = answer.headers["set-cookie"].partition(";")[0]
    # Neither what the browser keeps nor what it is told is a token of the issuer.
    assert "eyJ" not in str(answer.headers)
    browser.cookie = session
    told = browser.get("/session").json
    assert (told["tenant"], told["name"]) == ("blue", "ann")
    assert told["expires"] <= place.grants.clock() + place.grants.token_seconds
    # A code is good once.
    assert browser.get(back).status == 403
    assert browser.post("/logout").status == 204
    assert browser.get("/session").status == 401


def test_another_browser_is_not_logged_in_by_a_login_that_it_has_not_begun(place: Place) -> None:
    eve, victim = Browser(place.console.origin), Browser(place.console.origin)
    back = place.confirm(place.begin(eve), "eve")
    place.begin(victim)
    refused = victim.get(back)
    assert refused.status == 403
    assert "set-cookie" not in refused.headers
    # It is spent, also for who has begun it.
    assert eve.get(back).status == 403


@pytest.mark.parametrize(
    "change", [{"code": "stolen"}, {"code": ""}, {"state": "another"}, {"error": "access_denied"}]
)
def test_what_the_issuer_has_not_given_logs_nobody_in(place: Place, change: dict[str, str]) -> None:
    browser = Browser(place.console.origin)
    back = urllib.parse.urlsplit(place.confirm(place.begin(browser)))
    told = dict(urllib.parse.parse_qsl(back.query)) | change
    if "error" in change:
        del told["code"]
    refused = browser.get(f"{back.path}?{urllib.parse.urlencode(told)}")
    assert refused.status == 403
    assert "set-cookie" not in refused.headers


def test_an_answer_to_another_login_logs_nobody_in(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = place.grants.new_code
    monkeypatch.setattr(
        place.grants, "new_code", lambda person, **told: real(person, **(told | {"nonce": "x"}))
    )
    browser = Browser(place.console.origin)
    refused = browser.get(place.confirm(place.begin(browser)))
    assert (refused.status, b"another login" in refused.body) == (403, True)


def test_nobody_is_sent_to_another_site_afterwards(place: Place) -> None:
    browser = Browser(place.console.origin)
    for page in ("https://evil.example", "//evil.example", "/\\evil.example"):
        assert browser.get(f"/login/issuer?next={urllib.parse.quote(page)}").status == 400


def test_without_an_issuer_people_log_in_by_other_ways(console: Served) -> None:
    browser = Browser(console.origin)
    assert browser.get("/login/ways").json == {"issuer": ""}
    assert browser.get("/login/issuer").status == 400


def test_an_issuer_is_reached_over_https() -> None:
    told = settings_from(
        {"KAON_OIDC_ISSUER": "https://login.example.org", "KAON_OIDC_CLIENT_ID": ""}
    )
    assert told.issuer == IssuerSettings(url="https://login.example.org", client_id="kaon")
    with pytest.raises(InvalidValue, match="KAON_OIDC_ISSUER"):
        settings_from({"KAON_OIDC_ISSUER": "http://login.example.org"})
