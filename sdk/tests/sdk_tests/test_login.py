"""`kaon login` against a real issuer, and a server that checks what it signs."""

from __future__ import annotations

import io
import json
import stat
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest

from kaon.cli import options
from kaon.cli.main import execute
from kaon.client import Client, Endpoints, oidc
from kaon.client.bearer import Bearer
from kaon.client.errors import AccessDenied, KaonError, Unavailable
from kaon.client.logins import Login, LoginFile
from kaon.client.oidc import Issuer, LoginExpired, Prompt
from kaon_local.issuer.grants import Grants, Person
from kaon_local.issuer.serving import serving
from kaon_wire.errors import InvalidValue
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc

STATIC = "kaon_0123_secret"
ANN = Person(name="ann", claims={"tenant": "blue", "roles": ["author"]})


class _Access(access_service_pb2_grpc.AccessServiceServicer):
    """Accepts the issuer's access tokens and one static token."""

    def __init__(self, grants: Grants) -> None:
        self.grants = grants
        # Whether only ID tokens are accepted: those with a nonce here.
        self.shown: list[str] = []
        self.refuses_access_tokens = False

    def WhoAmI(self, request: a.WhoAmIRequest, context: grpc.ServicerContext) -> a.WhoAmIResponse:
        shown = dict(context.invocation_metadata()).get("authorization", "")
        token = str(shown).removeprefix("Bearer ")
        self.shown.append(token)
        if token == STATIC:
            return a.WhoAmIResponse(caller=a.Caller(tenant="red", name="ci", kind="person"))
        if self.refuses_access_tokens and len(self.shown) == 1:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
        try:
            key = jwt.PyJWKSet.from_dict(self.grants.keys()).keys[0]
            said = jwt.decode(token, key, algorithms=["ES256"], audience="kaon")
        except jwt.PyJWTError:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")
        return a.WhoAmIResponse(
            caller=a.Caller(
                tenant=said["tenant"],
                name=said["sub"],
                roles=said["roles"],
                kind="person",
                authentication="oidc",
            )
        )


class _Runs(run_service_pb2_grpc.RunServiceServicer):
    """Sends one event to each watcher; ends the stream of whoever shows the first token after it, as if that had expired."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def GetRun(
        self, request: run_service_pb2.GetRunRequest, context: grpc.ServicerContext
    ) -> run_service_pb2.GetRunResponse:
        run = run_pb2.Run(run_id=request.run_id, last_seq=2)
        run.end_time.GetCurrentTime()
        return run_service_pb2.GetRunResponse(run=run)

    def WatchRun(
        self, request: run_service_pb2.WatchRunRequest, context: grpc.ServicerContext
    ) -> Iterator[run_service_pb2.WatchRunResponse]:
        self.shown.append(str(dict(context.invocation_metadata()).get("authorization", "")))
        event = history_pb2.HistoryEvent(run_id=request.run_id, seq=request.after_seq + 1)
        if request.after_seq:
            event.run_ended.SetInParent()
        yield run_service_pb2.WatchRunResponse(event=event)
        if not request.after_seq:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no valid credentials")


@dataclass(frozen=True, kw_only=True)
class Place:
    """An issuer, and a server that trusts it."""

    grants: Grants
    access: _Access
    runs: _Runs
    server: str
    file: LoginFile


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Both, and an empty configuration of the user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("KAON_TOKEN", "KAON_TLS_CA", "KAON_OIDC_ISSUER"):
        monkeypatch.delenv(name, raising=False)
    with serving([ANN]) as grants, futures.ThreadPoolExecutor(2) as threads:
        access, runs = _Access(grants), _Runs()
        server = grpc.server(threads)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(access, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        run_service_pb2_grpc.add_RunServiceServicer_to_server(runs, server)
        server.start()
        monkeypatch.setenv("KAON_SERVER", address)
        yield Place(grants=grants, access=access, runs=runs, server=address, file=LoginFile())
        server.stop(0).wait()


@pytest.fixture
def confirming(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever the list names confirms each login as its page asks; an empty name refuses."""
    answers = ["ann"]
    shown = oidc._prompt

    def prompt(answer: Any) -> Prompt:
        found = shown(answer)
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(found.whole_url).query)["user_code"][0]
        form = urllib.parse.urlencode({"user_code": code, "person": answers[0]}).encode()
        urllib.request.urlopen(found.url, form, timeout=10).close()
        return found

    monkeypatch.setattr(oidc, "_prompt", prompt)
    return answers


def log_in(place: Place) -> int:
    return execute(["login", "--issuer", place.grants.url, "--server", place.server])


def test_a_login_is_kept_for_its_owner_alone_and_used_by_later_commands(
    place: Place, confirming: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert log_in(place) == 0
    told = capsys.readouterr()
    assert "and confirm the code " in told.err
    assert f"Logged in at {place.server} as ann of tenant blue, roles author." in told.out
    assert stat.S_IMODE(place.file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.file.path.parent.stat().st_mode) == 0o700
    kept = place.file.get(place.server)
    assert kept is not None
    assert kept.shows == "access_token"
    assert kept.token not in repr(kept)
    assert Bearer(place.server)() == kept.token


def test_commands_show_the_login_and_whoami_tells_what_it_is_worth(
    place: Place, confirming: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(place)
    capsys.readouterr()
    assert execute(["whoami"]) == 0
    told = capsys.readouterr().out
    assert told == "ann of tenant blue, roles author, known by an OIDC login\n"
    assert execute(["logout"]) == 0
    assert execute(["whoami"]) == 1
    assert capsys.readouterr().err == "kaon: no valid credentials\n"


def test_a_command_without_an_option_for_the_server_uses_the_login_of_the_environments(
    place: Place,
) -> None:
    place.file.put(place.server, Login(token=STATIC))
    with options.client(publisher="127.0.0.1:9", probes=False) as client:
        assert client.endpoints.server == place.server
        assert client.access.whoami().name == "ci"


def test_a_stream_that_outlives_its_token_goes_on_with_the_next_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bearer, "__call__", lambda _self: f"token-{len(place.runs.shown)}")
    with Client(Endpoints(server=place.server)) as client:
        assert [each.event.seq for each in client.watch("01m8m691jkksgxx9v9m1ks0kwr")] == [1, 2]
    assert place.runs.shown == ["Bearer token-0", "Bearer token-1"]


def test_a_stream_that_has_nothing_newer_to_show_ends(place: Place) -> None:
    place.file.put(place.server, Login(token=STATIC))
    with (
        Client(Endpoints(server=place.server)) as client,
        pytest.raises(AccessDenied, match="no valid credentials"),
    ):
        list(client.watch("01m8m691jkksgxx9v9m1ks0kwr"))
    assert place.runs.shown == [f"Bearer {STATIC}"]


def test_an_issuer_whose_access_tokens_are_for_itself_gives_an_id_token(
    place: Place, confirming: list[str]
) -> None:
    place.access.refuses_access_tokens = True
    assert log_in(place) == 0
    kept = place.file.get(place.server)
    assert kept is not None
    assert (kept.shows, kept.token) == ("id_token", place.access.shown[-1])


def test_a_server_that_does_not_trust_the_issuer_keeps_nothing(
    place: Place, confirming: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    place.access.grants = Grants(url=place.grants.url, audience="kaon")
    assert log_in(place) == 1
    assert f"the server {place.server} does not accept it" in capsys.readouterr().err
    assert place.file.get(place.server) is None


def test_a_login_that_was_refused_says_so(
    place: Place, confirming: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    confirming[0] = ""
    assert log_in(place) == 1
    assert "the login was refused" in capsys.readouterr().err


def test_a_login_waits_as_long_as_the_issuer_says(place: Place) -> None:
    now = [0.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    issuer = Issuer(place.grants.url, "kaon")
    with pytest.raises(AccessDenied, match="in time"):
        issuer.device_login(
            lambda _prompt: None, sleep=lambda _seconds: sleep(100), clock=lambda: now[0]
        )
    assert len(waits) == 6


def test_a_token_is_renewed_before_it_ends_and_once_for_all_threads(
    place: Place, confirming: list[str]
) -> None:
    log_in(place)
    first = place.file.get(place.server)
    assert first is not None
    late = first.expires - 30
    bearers = [Bearer(place.server, clock=lambda: late) for _ in range(4)]
    # So that another token says something else.
    place.grants.clock = lambda: time.time() + 500
    with futures.ThreadPoolExecutor(4) as threads:
        shown = set(threads.map(lambda bearer: bearer(), bearers))
    kept = place.file.get(place.server)
    assert kept is not None
    assert shown == {kept.token} != {first.token}
    assert kept.refresh_token != first.refresh_token


def test_a_login_that_was_ended_at_the_issuer_says_how_to_begin_again(
    place: Place, confirming: list[str]
) -> None:
    log_in(place)
    kept = place.file.get(place.server)
    assert kept is not None
    place.grants.revoke(kept.refresh_token)
    with pytest.raises(LoginExpired, match="log in with kaon login"):
        Bearer(place.server, clock=lambda: kept.expires + 1)()


def test_while_the_issuer_is_away_a_token_counts_to_its_end(place: Place) -> None:
    kept = Login(
        token="t",
        expires=1000,
        issuer="http://127.0.0.1:9",
        client_id="kaon",
        refresh_token="r",
        shows="access_token",
    )
    place.file.put(place.server, kept)
    assert Bearer(place.server, clock=lambda: 990)() == "t"
    with pytest.raises(Unavailable, match="no answer from the issuer"):
        Bearer(place.server, clock=lambda: 1000)()
    place.file.put(place.server, replace(kept, refresh_token=""))
    with pytest.raises(LoginExpired):
        Bearer(place.server, clock=lambda: 1000)()


def test_the_variable_goes_before_every_login(place: Place) -> None:
    place.file.put(place.server, Login(token="kept"))
    assert Bearer(place.server, environment={"KAON_TOKEN": "given "})() == "given"
    assert Bearer(place.server, environment={})() == "kept"
    assert Bearer("other:1", environment={})() == ""


def test_a_static_token_comes_by_standard_input(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As after sourcing what `make dev` writes.
    monkeypatch.setenv("KAON_OIDC_ISSUER", place.grants.url)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{STATIC}\n"))
    assert execute(["login", "--token", "-"]) == 0
    assert place.file.get(place.server) == Login(token=STATIC)
    assert execute(["login", "--token", STATIC]) == 2
    assert "the list of processes" in capsys.readouterr().err
    monkeypatch.delenv("KAON_OIDC_ISSUER")
    assert execute(["login"]) == 2


def test_logout_forgets_the_login_and_ends_it_at_the_issuer(
    place: Place, confirming: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(place)
    kept = place.file.get(place.server)
    assert kept is not None
    assert execute(["logout"]) == 0
    assert place.file.get(place.server) is None
    with pytest.raises(LoginExpired):
        Issuer(place.grants.url, "kaon").refreshed(kept.refresh_token)
    assert execute(["logout"]) == 0
    assert "There is no login" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 2, "servers": {}}'])
def test_a_damaged_file_says_what_to_do(place: Place, text: str) -> None:
    place.file.path.parent.mkdir()
    place.file.path.write_text(text)
    with pytest.raises(InvalidValue, match="delete it"):
        place.file.get(place.server)


def test_a_newer_version_may_keep_more(place: Place) -> None:
    place.file.put("a:1", Login(token="t"))
    document = json.loads(place.file.path.read_text())
    document["servers"]["a:1"]["more"] = 1
    place.file.path.write_text(json.dumps(document))
    assert place.file.get("a:1") == Login(token="t")


@pytest.mark.parametrize("url", ["http://login.example.org", "ftp://127.0.0.1", "login"])
def test_no_secret_travels_in_the_clear(url: str) -> None:
    with pytest.raises(KaonError, match="must begin with https"):
        Issuer(url, "kaon").refreshed("secret")


def test_an_issuer_under_another_name_is_refused(place: Place) -> None:
    url = place.grants.url
    place.grants.url = "http://127.0.0.1:1"
    with pytest.raises(KaonError, match="says that it is the issuer"):
        Issuer(url, "kaon").refreshed("r")
