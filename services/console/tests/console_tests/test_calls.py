"""Calls of the browser reach the services as they are, and answers and errors come back as they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed
from kaon_console.streams import Streams
from kaon_console.tickets import Grant
from kaon_local.ports import free_port
from kaon_service.principal import Principal

from .serving import SOMEBODY, FakeService, Served, on_a_thread, serving

GET, CANCEL = "kaonapi.run.v1.RunService/GetRun", "kaonapi.run.v1.RunService/CancelRun"
WATCH = "kaonapi.run.v1.RunService/WatchRun"
# No message of any proto.
BYTES = bytes(range(256)) * 3


@dataclass
class Service:
    """What the service behind the console does with each request, and what it has seen."""

    unary: Callable[[bytes, Any], Any] | None = None
    streaming: Callable[[bytes, Any], AsyncIterator[bytes]] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    remaining: float | None = None
    # Set when a stream has ended here, however.
    ended: threading.Event = field(default_factory=threading.Event)
    sent: int = 0

    async def on_unary(self, request: bytes, context: Any) -> bytes:
        """Answers a unary call."""
        self._note(context)
        assert self.unary is not None
        answer: bytes = await self.unary(request, context)
        return answer

    async def on_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Answers with a stream."""
        self._note(context)
        assert self.streaming is not None
        try:
            async for message in self.streaming(request, context):
                self.sent += 1
                yield message
        finally:
            self.ended.set()

    def _note(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Service, int]]:
    service = Service()
    fake = FakeService(
        {GET: service.on_unary, CANCEL: service.on_unary}, {WATCH: service.on_stream}
    )
    with on_a_thread(fake) as (port, _):
        yield service, port


@pytest.fixture
def service(behind: tuple[Service, int]) -> Service:
    found = behind[0]
    found.__init__()  # type: ignore[misc]
    return found


@pytest.fixture(scope="module")
def passing(
    behind: tuple[Service, int], console: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    settings = replace(
        console.settings,
        server=f"127.0.0.1:{behind[1]}",
        state=tmp_path_factory.mktemp("passing"),
        streams=20,
    )
    with serving(settings) as served:
        yield served


async def echo(request: bytes, _context: Any) -> bytes:
    return request


def test_bytes_pass_undecoded_both_ways(passing: Served, service: Service) -> None:
    service.unary = echo
    answer = passing.browser().call(GET, BYTES)
    assert (answer.status, answer.body) == (200, BYTES)
    assert answer.headers["content-type"] == "application/proto"
    assert passing.browser().call(GET, b"").body == b""


def test_the_services_are_told_who_calls_by_the_server_alone(
    passing: Served, service: Service
) -> None:
    service.unary = echo
    headers = {
        "kaon_tenant": "other",
        "kaon_principal": "root",
        "kaon_roles": "admin",
        "authorization": "Bearer x",
        "x_forwarded_for": "1.2.3.4",
        "grpc_timeout": "1S",
        "kaon_anything_bin": "AAAA",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "idempotency_key": "abc",
    }
    assert passing.browser().call(GET, b"", **headers).status == 200
    seen = {name: value for name, value in service.metadata.items() if name != "user-agent"}
    assert seen == {
        "kaon-tenant": "team",
        "kaon-principal": "somebody",
        "kaon-roles": "ml,ops",
        "traceparent": headers["traceparent"],
        "idempotency-key": "abc",
    }


def test_two_sessions_are_two_tenants(passing: Served, service: Service) -> None:
    service.unary = echo
    passing.browser(Principal(tenant="a")).call(GET)
    assert (service.metadata["kaon-tenant"], service.metadata["kaon-roles"]) == ("a", "")
    passing.browser(Principal(tenant="b")).call(GET)
    assert service.metadata["kaon-tenant"] == "b"


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
)
def test_an_error_comes_back_with_its_code(
    passing: Served, service: Service, code: grpc.StatusCode
) -> None:
    async def fail(_request: bytes, context: Any) -> bytes:
        await context.abort(code, "<b>bad</b>\n\u202e")
        return b""

    service.unary = fail
    answer = passing.browser().call(GET)
    expected = next(each for each in Code if each.number == code.value[0])
    assert answer.status == expected.http
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"code": expected.text, "message": "<b>bad</b>\n\u202e"}


async def refuse(_request: bytes, context: Any) -> bytes:
    """Fails with what is wrong with a request, as the coordinator does."""
    detail = any_pb2.Any()
    detail.Pack(
        error_details_pb2.BadRequest(
            field_violations=[{"field": "run_id", "description": "is empty"}]
        )
    )
    status = status_pb2.Status(code=3, message="wrong", details=[detail])
    await context.abort_with_status(rpc_status.to_status(status))
    return b""


def test_details_of_an_error_are_kept(passing: Served, service: Service) -> None:
    service.unary = refuse
    error = passing.browser().call(GET).json
    assert error["message"] == "wrong"
    (detail,) = error["details"]
    assert detail["type"] == "google.rpc.BadRequest"
    value = base64.b64decode(detail["value"] + "=" * (-len(detail["value"]) % 4))
    assert error_details_pb2.BadRequest.FromString(value).field_violations[0].field == "run_id"


def test_an_error_whose_details_are_damaged_is_still_told(
    passing: Served, service: Service
) -> None:
    async def fail(_request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("grpc-status-details-bin", b"\xff\xff\xff")])
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        return b""

    service.unary = fail
    assert passing.browser().call(GET).json == {"code": "not_found", "message": "gone"}


def test_a_service_that_is_away_is_told_by_name(console: Served) -> None:
    answer = console.browser().call(GET)
    assert answer.status == 503
    assert answer.json == {
        "code": "unavailable",
        "message": "the coordinator at 127.0.0.1:1 does not answer",
    }
    models = console.browser().call("kaonapi.model.v1.ModelService/ListModels")
    assert models.json["message"] == "the model publisher at 127.0.0.1:1 does not answer"


@pytest.mark.parametrize(
    "name",
    [
        "kaonapi.run.v1.RunService/Nothing",
        "grpc.health.v1.Health/Check",
        "x",
        "",
        "kaonapi.workflow.v1.WorkflowService/RegisterWorkflow",
        "kaonapi.run.v1.RunService/GetRun/",
        "../session",
    ],
)
def test_methods_that_are_not_listed_are_not_passed_on(
    passing: Served, service: Service, name: str
) -> None:
    service.unary = echo
    answer = passing.browser().call(name)
    assert answer.status == 501
    assert answer.json["code"] == "unimplemented"
    assert service.metadata == {}


def test_the_browsers_deadline_is_the_services(passing: Served, service: Service) -> None:
    async def wait(_request: bytes, _context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    service.unary = wait
    answer = passing.browser().call(GET, connect_timeout_ms="50")
    assert answer.status == 504
    assert answer.json["code"] == "deadline_exceeded"
    service.unary = echo
    passing.browser().call(GET)
    assert service.remaining is not None
    assert service.remaining > 30, "without a deadline of its own a call has a generous one"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"connect_timeout_ms": "soon"}, "invalid_argument"),
        ({"connect_timeout_ms": "-1"}, "invalid_argument"),
        ({"connect_timeout_ms": "12345678901"}, "invalid_argument"),
        ({"connect_timeout_ms": "\u0663".encode().decode("latin-1")}, "invalid_argument"),
        ({"connect_protocol_version": "2"}, "invalid_argument"),
        ({"content_encoding": "gzip"}, "unimplemented"),
    ],
)
def test_a_call_that_is_not_connects_is_refused(
    passing: Served, service: Service, headers: dict[str, str], code: str
) -> None:
    service.unary = echo
    assert passing.browser().call(GET, b"", **headers).json["code"] == code
    assert service.metadata == {}


@pytest.mark.parametrize("told", [True, False])
def test_a_request_has_a_bound(
    passing: Served, service: Service, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kaon_console.calls.MAX_REQUEST_BYTES", 1000)
    service.unary = echo
    browser = passing.browser()
    assert browser.call(GET, b"x" * 1000).status == 200
    if told:
        answer = browser.call(GET, b"x" * 1001)
        assert (answer.status, answer.json["code"]) == (429, "resource_exhausted")
        return
    connection = browser.connect()
    headers = {
        "cookie": browser.cookie,
        "origin": passing.origin,
        "content-type": "application/proto",
        "connect-protocol-version": "1",
    }
    connection.request(
        "POST", f"/api/{GET}", iter([b"x" * 600, b"x" * 600]), headers, encode_chunked=True
    )
    assert connection.getresponse().status == 429
    connection.close()


def test_a_stream_comes_message_by_message_and_ends(passing: Served, service: Service) -> None:
    go_on = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def three(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        loops.append(asyncio.get_running_loop())
        yield request
        yield b""
        await go_on.wait()
        yield BYTES

    service.streaming = three
    with passing.browser().stream(WATCH, b"abc") as stream:
        assert stream.status == 200
        assert stream.content_type == "application/connect+proto"
        messages = iter(stream)
        assert next(messages) == b"abc"
        assert next(messages) == b"", "the third message is not awaited"
        loops[0].call_soon_threadsafe(go_on.set)
        assert list(messages) == [BYTES]
        assert stream.end == {}


def test_the_error_of_a_stream_is_its_last_message(passing: Served, service: Service) -> None:
    async def fail(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        await refuse(request, context)

    service.streaming = fail
    with passing.browser().stream(WATCH, b"abc") as stream:
        assert list(stream) == [b"abc"]
        assert stream.end["error"]["code"] == "invalid_argument"
        assert stream.end["error"]["details"][0]["type"] == "google.rpc.BadRequest"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_argument"),
        (b"\x00\x00\x00", "invalid_argument"),
        (struct.pack(">BI", 0, 3) + b"ab", "invalid_argument"),
        (struct.pack(">BI", 0, 2) + b"abc", "invalid_argument"),
        (struct.pack(">BI", 0, 0xFFFFFFFF), "invalid_argument"),
        (struct.pack(">BI", 2, 2) + b"{}", "invalid_argument"),
        (struct.pack(">BI", 1, 2) + b"ab", "unimplemented"),
        (struct.pack(">BI", 0, 0) * 2, "invalid_argument"),
    ],
)
def test_an_envelope_that_is_none_ends_the_stream(
    passing: Served, service: Service, body: bytes, code: str
) -> None:
    answer = passing.browser().post(
        f"/api/{WATCH}",
        body,
        content_type="application/connect+proto",
        connect_protocol_version="1",
    )
    flags, length = struct.unpack_from(">BI", answer.body)
    assert (answer.status, flags, length) == (200, 2, len(answer.body) - 5)
    assert f'"code":"{code}"' in answer.body.decode()
    assert service.metadata == {}


async def endless(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    yield request
    await asyncio.Event().wait()


def test_a_browser_that_goes_ends_its_stream_at_the_service(
    passing: Served, service: Service
) -> None:
    service.streaming = endless
    with passing.browser().stream(WATCH, b"abc") as stream:
        assert stream.next() == b"abc"
    assert service.ended.wait(30)


def test_a_browser_that_goes_ends_its_call_at_the_service(
    passing: Served, service: Service
) -> None:
    began, ended = threading.Event(), threading.Event()

    async def wait(_request: bytes, _context: Any) -> bytes:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    service.unary = wait
    browser = passing.browser()
    connection = browser.connect()
    headers = {
        "cookie": browser.cookie,
        "origin": passing.origin,
        "content-type": "application/proto",
        "connect-protocol-version": "1",
    }
    connection.request("POST", f"/api/{GET}", b"", headers)
    assert began.wait(30)
    connection.close()
    assert ended.wait(30)


def test_logging_out_ends_the_streams_of_this_session_only(
    passing: Served, service: Service
) -> None:
    service.streaming = endless
    leaving, staying = passing.browser(), passing.browser()
    with leaving.stream(WATCH) as first, staying.stream(WATCH) as second:
        first.next()
        second.next()
        assert leaving.post("/logout").status == 204
        assert list(first) == []
        assert first.end["error"]["code"] == "unauthenticated"
        assert second.end is None
        service.unary = echo
        assert staying.call(GET).status == 200


def test_a_session_that_expires_ends_its_streams() -> None:
    async def main() -> CallFailed:
        grant = Grant(key="a", principal=SOMEBODY, expires=100.0)
        with Streams(1, now=lambda: 100.0).opened(grant) as ending:
            return await ending

    assert asyncio.run(main()).code is Code.UNAUTHENTICATED


def test_streams_have_a_bound_and_their_end_makes_room(passing: Served, service: Service) -> None:
    service.streaming = endless
    browser = passing.browser()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(browser.stream(WATCH)).next()
        with browser.stream(WATCH) as stream:
            assert list(stream) == []
            assert stream.end["error"]["code"] == "resource_exhausted"
            assert "KAON_CONSOLE_STREAMS" in stream.end["error"]["message"]
    assert service.ended.wait(30)
    with contextlib.ExitStack() as stack:
        stream = browser.stream(WATCH)
        stack.callback(stream.close)
        while next(iter(stream), None) is None:
            # Until the console has noticed that the others have gone.
            stream.close()
            stream = browser.stream(WATCH)
            stack.callback(stream.close)


def test_a_console_that_stops_ends_its_streams_first(
    behind: tuple[Service, int], service: Service, passing: Served, tmp_path: Path
) -> None:
    service.streaming = endless
    with serving(replace(passing.settings, state=tmp_path)) as served:
        with served.browser().stream(WATCH) as stream:
            stream.next()
            stopping = threading.Thread(target=served.stop)
            stopping.start()
            assert list(stream) == []
            assert stream.end == {"error": {"code": "unavailable", "message": "the console stops"}}
            stopping.join(30)
            assert not stopping.is_alive()
        assert service.ended.wait(30)


def test_a_slow_reader_stops_the_service_and_nobody_else(passing: Served, service: Service) -> None:
    piece = b"x" * 100_000

    async def flood(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        while True:
            yield piece

    service.streaming = flood
    browser = passing.browser()
    with browser.stream(WATCH, small_buffer=True) as slow:
        slow.next()
        before = -1
        # Until nothing moves any more, the others are answered.
        service.unary = echo
        while before != service.sent:
            before = service.sent
            for _ in range(20):
                assert browser.call(GET, BYTES).body == BYTES
        assert service.sent * len(piece) < 64 * 2**20, (
            "what waits lies in buffers of a few megabytes"
        )
        service.streaming = endless
        with browser.stream(WATCH, b"quick") as quick:
            assert quick.next() == b"quick"


def test_many_streams_share_few_connections(
    passing: Served, service: Service, behind: tuple[Service, int]
) -> None:
    service.streaming = endless
    browser = passing.browser()
    # Of tests before this one, whose connections may still be closing.
    others = set(service_peers(behind[1]))
    with contextlib.ExitStack() as stack:
        for number in range(15):
            assert (
                stack.enter_context(browser.stream(WATCH, b"%d" % number)).next() == b"%d" % number
            )
        peers = set(service_peers(behind[1])) - others
    assert len(peers) <= 2


def service_peers(port: int) -> list[tuple[str, int]]:
    """Who is connected to a port of this machine."""
    import psutil

    return [
        each.raddr
        for each in psutil.Process().net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED
    ]


def test_a_service_that_comes_back_is_found_again(console: Served, tmp_path: Path) -> None:
    port = free_port()
    settings = replace(console.settings, server=f"127.0.0.1:{port}", state=tmp_path)
    with serving(settings) as served:
        browser = served.browser()
        with on_a_thread(FakeService({GET: echo}, {WATCH: endless}, port)):
            with browser.stream(WATCH, b"a") as stream:
                assert stream.next() == b"a"
                gone = stream
        assert browser.call(GET).json["code"] == "unavailable"
        with on_a_thread(FakeService({GET: echo}, {WATCH: endless}, port)):
            # Requests that wait for the connection would hide how long it takes to come back.
            while browser.call(GET).status == 503:
                pass
            assert browser.call(GET, BYTES).body == BYTES
        assert gone is not None


QUERY = "kaonapi.view.v1.ViewService/QueryRuns"
HEALTH = "grpc.health.v1.Health/Check"


async def unknown(_request: bytes, context: Any) -> bytes:
    """Say that there is no such service, as a coordinator does that serves no views."""
    await context.abort(grpc.StatusCode.NOT_FOUND, "")
    return b""


async def serving_it(_request: bytes, _context: Any) -> bytes:
    return health_pb2.HealthCheckResponse(status="SERVING").SerializeToString()


async def view(_request: bytes, _context: Any) -> bytes:
    return b"view"


def test_views_come_from_the_coordinator_where_it_serves_them(
    console: Served, tmp_path: Path
) -> None:
    with on_a_thread(FakeService({HEALTH: serving_it, QUERY: echo}, {})) as (port, _):
        settings = replace(console.settings, server=f"127.0.0.1:{port}", state=tmp_path)
        with serving(settings) as served:
            assert served.browser().call(QUERY, BYTES).body == BYTES


def test_else_views_come_from_the_usual_port_of_its_host(
    console: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = free_port()
    monkeypatch.setattr("kaon_console.backends.VIEW_PORT", usual)
    port = free_port()
    with serving(replace(console.settings, server=f"127.0.0.1:{port}", state=tmp_path)) as served:
        browser = served.browser()
        away = browser.call(QUERY).json
        assert away == {
            "code": "unavailable",
            "message": f"the view service at 127.0.0.1:{port} does not answer",
        }
        with on_a_thread(FakeService({HEALTH: unknown, QUERY: echo}, {}, port)):
            with on_a_thread(FakeService({QUERY: view}, {}, usual)):
                while (answer := browser.call(QUERY, BYTES)).status == 503:
                    pass
                assert answer.body == b"view", "found when the coordinator came"


def test_a_console_that_only_shows_refuses_commands(
    passing: Served, service: Service, tmp_path: Path
) -> None:
    service.unary = echo
    with serving(replace(passing.settings, state=tmp_path, read_only=True)) as served:
        browser = served.browser()
        assert browser.get("/session").json["readOnly"] is True
        assert browser.call(GET, BYTES).body == BYTES
        service.metadata = {}
        answer = browser.call(CANCEL, BYTES)
        assert (answer.status, answer.json["code"]) == (403, "permission_denied")
        assert service.metadata == {}
