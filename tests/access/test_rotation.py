"""Keys of the services rotate while all of them work: console, view service and publisher are told nothing but the file."""

from __future__ import annotations

import base64
import http.client
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from access.closed_system import ClosedSystem
from access.faults import bearer
from kaon_console.bootstrap import Application
from kaon_console.settings import settings_from
from kaon_service.access.service_keys import ServiceKeys
from kaon_service.principal import Principal
from kaon_service.roles import Role, included
from kaon_service.thread import ApplicationThread
from kaonapi.access.v1 import access_service_pb2, access_service_pb2_grpc
from kaonapi.model.v1 import model_pb2, model_pb2_grpc
from kaonapi.run.v1 import run_service_pb2, run_service_pb2_grpc
from kaonapi.view.v1 import runs_pb2

LIST_RUNS = "kaonapi.run.v1.RunService/ListRuns"
QUERY_RUNS = "kaonapi.view.v1.ViewService/QueryRuns"


@pytest.fixture
def console(closed: ClosedSystem, tmp_path: Path) -> Iterator[int]:
    """The port of a console of the closed system."""
    addresses = closed.addresses
    settings = settings_from(
        {
            "KAON_AUTH": "on",
            "KAON_SERVICE_KEYS": str(keys_of(closed)),
            "KAON_SERVER": addresses["coordinator"],
            "KAON_VIEW": addresses["view"],
            "KAON_PUBLISHER": addresses["publisher"],
            "KAON_CONSOLE_ADDRESS": "127.0.0.1:0",
            "KAON_CONSOLE_STATE": str(tmp_path / "console"),
        }
    )
    thread = ApplicationThread("console", lambda: Application(settings, how_to_link=""))
    yield thread.start()
    thread.stop()


def test_keys_of_the_services_rotate_without_a_restart(
    closed: ClosedSystem, console: int, tmp_path: Path
) -> None:
    file = keys_of(closed)
    old = file.read_text().strip()
    new = base64.b64encode(secrets.token_bytes(32)).decode()
    # Known everywhere, then the first everywhere, then the only one.
    for lines in ([old], [old, new], [new, old], [new]):
        replaced = file.with_name("keys.new")
        replaced.write_text("".join(f"{line}\n" for line in lines))
        replaced.replace(file)
        for key in (old, new):
            assert accepted(closed, key, tmp_path / "key") == (key in lines), len(lines)
        token = new_token(closed)
        # Nobody has asked for this token before, so each must ask the coordinator, and shows a key for it.
        assert models(closed, token) == []
        cookie = logged_in(console, token)
        for method in (LIST_RUNS, QUERY_RUNS):
            assert called(console, method, cookie) == 200, (method, len(lines))


def accepted(closed: ClosedSystem, key: str, place: Path) -> bool:
    """Whether the coordinator believes who has a key."""
    place.write_text(key)
    caller = Principal(tenant="shop", name="ann", roles=included([Role.VIEWER]))
    shown = [("kaon-service", ServiceKeys(place, "kaon").sign("console", caller))]
    with grpc.insecure_channel(closed.addresses["coordinator"]) as channel:
        stub = run_service_pb2_grpc.RunServiceStub(channel)
        asked = stub.ListRuns.future(run_service_pb2.ListRunsRequest(), metadata=shown, timeout=20)
        code = asked.code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
    return bool(code is grpc.StatusCode.OK)


def keys_of(closed: ClosedSystem) -> Path:
    """The file with the services' keys."""
    return closed.keys._keys._paths[0]


def new_token(closed: ClosedSystem) -> str:
    """A token that no service has seen."""
    caller = access_service_pb2.Caller(
        name=f"ann-{time.monotonic_ns()}", roles=["viewer"], kind="person"
    )
    with grpc.insecure_channel(closed.addresses["coordinator"]) as channel:
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        request = access_service_pb2.CreateTokenRequest(caller=caller)
        made = stub.CreateToken(request, metadata=bearer(closed.tokens["valid"]))
    secret: str = made.secret
    return secret


def models(closed: ClosedSystem, token: str) -> list[str]:
    """What the publisher shows."""
    with grpc.insecure_channel(closed.addresses["publisher"]) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        answer = stub.ListModels(model_pb2.ListModelsRequest(), metadata=bearer(token))
    return [each.model for each in answer.versions]


def logged_in(console: int, token: str) -> str:
    """The cookie of a session."""
    connection = http.client.HTTPConnection("127.0.0.1", console, timeout=20)
    connection.request("POST", "/login", f"token={token}", from_the_page(console))
    answer = connection.getresponse()
    assert answer.status == 204, answer.read()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    connection.close()
    return cookie


def called(console: int, method: str, cookie: str) -> int:
    """The status of a call by the console."""
    request = (
        run_service_pb2.ListRunsRequest() if method == LIST_RUNS else runs_pb2.QueryRunsRequest()
    )
    connection = http.client.HTTPConnection("127.0.0.1", console, timeout=20)
    headers = from_the_page(console) | {
        "content-type": "application/proto",
        "connect-protocol-version": "1",
        "cookie": cookie,
    }
    connection.request("POST", f"/api/{method}", request.SerializeToString(), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def from_the_page(console: int) -> dict[str, str]:
    """What a browser says of a request of the console's own page."""
    return {"origin": f"http://127.0.0.1:{console}", "sec-fetch-site": "same-origin"}
