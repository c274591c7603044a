"""What a server does around every call, over real gRPC: the rules are the same for all four shapes of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry, Histogram

from kaon_service import principal
from kaon_service.access.admission import Admission
from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.guard import NO_GUARD, Guard
from kaon_service.access.limits import AllLimits, TenantLimits
from kaon_service.access.off import without_authentication
from kaon_service.access.rates import Rates
from kaon_service.access.recording import CallRecord, NoRecorder, Recorder
from kaon_service.access.table import Access
from kaon_service.errors import DatabaseFull, DatabaseUnavailable
from kaon_service.interceptors import CallRules
from kaon_service.principal import Principal
from kaon_service.roles import Role
from kaon_service.server import GrpcServer
from kaon_service.statuses import StatusTable
from kaon_wire.errors import Conflict, InvalidValue, KaonError, NotFound, Unavailable
from kaonapi.model.v1 import model_pb2 as m

SERVICE = "kaonapi.test.Shapes"
SHAPES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


TABLE = {f"/{SERVICE}/{shape}": Access(role=Role.VIEWER) for shape in SHAPES}
SHAPES_GUARD = Guard(
    admission=Admission(authenticate=without_authentication, tenants=None, table=TABLE)
)


class Denied(KaonError):
    """An error that only this service has."""


STATUSES = StatusTable(
    service="tester",
    codes={Denied: StatusCode.PERMISSION_DENIED},
    otherwise=StatusCode.FAILED_PRECONDITION,
    details=lambda error: (
        [error_details_pb2.ErrorInfo(reason="denied")] if isinstance(error, Denied) else ()
    ),
)


class Shapes:
    """A service with one method of each shape, all of which do the same."""

    def __init__(
        self, work: Callable[[], None], wait: Callable[[], Awaitable[None]] | None
    ) -> None:
        self._work = work
        self._wait = wait

    async def _answer(self, _context: Any) -> m.GetModelResponse:
        self._work()
        if self._wait is not None:
            await self._wait()
        return m.GetModelResponse(current=len(principal.current().tenant))

    async def unary_unary(self, _request: Any, context: Any) -> m.GetModelResponse:
        """One request, one response."""
        return await self._answer(context)

    async def unary_stream(self, _request: Any, context: Any) -> AsyncIterator[m.GetModelResponse]:
        """One request, many responses."""
        yield await self._answer(context)

    async def stream_unary(self, requests: AsyncIterator[Any], context: Any) -> m.GetModelResponse:
        """Many requests, one response."""
        async for _ in requests:
            pass
        return await self._answer(context)

    async def stream_stream(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[m.GetModelResponse]:
        """Many requests, many responses."""
        async for _ in requests:
            yield await self._answer(context)

    def handlers(self) -> grpc.GenericRpcHandler:
        """For the server."""
        codecs = (m.GetModelRequest.FromString, m.GetModelResponse.SerializeToString)
        methods = {
            shape: getattr(grpc, f"{shape}_rpc_method_handler")(getattr(self, shape), *codecs)
            for shape in SHAPES
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)


Call = Callable[..., Awaitable[m.GetModelResponse]]


@asynccontextmanager
async def serving(
    work: Callable[[], None] = lambda: None,
    *,
    wait: Callable[[], Awaitable[None]] | None = None,
    **rules: Any,
) -> AsyncIterator[tuple[Call, str]]:
    """A server of such a service, how it is called, and its address; at its end calls are cut off."""
    server = GrpcServer(
        [SERVICE],
        CallRules(
            statuses=STATUSES, **{"guard": SHAPES_GUARD, "undecodable_hint": " (a hint)"} | rules
        ),
    )
    server.grpc.add_generic_rpc_handlers((Shapes(work, wait).handlers(),))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    async with aio.insecure_channel(address) as channel:

        async def call(shape: str, data: bytes = b"", **metadata: str) -> m.GetModelResponse:
            method: Any = getattr(channel, shape)(
                f"/{SERVICE}/{shape}", response_deserializer=m.GetModelResponse.FromString
            )
            sent = iter([data]) if shape.startswith("stream") else data
            told = method(
                sent,
                metadata=[
                    (key if key == "authorization" else f"kaon-{key}", value)
                    for key, value in metadata.items()
                ],
            )
            response: m.GetModelResponse
            if not shape.endswith("stream"):
                response = await told
                return response
            response = await told.read()
            # Also the end: until then the server may still count the stream, and has not recorded it.
            assert await told.read() is aio.EOF
            return response

        yield call, address
    await server.stop(0)


async def refused(call: Call, *args: Any, **metadata: str) -> aio.AioRpcError:
    """The error with which a call ends."""
    with pytest.raises(aio.AioRpcError) as told:
        await call(*args, **metadata)
    return told.value


def raising(error: Exception) -> Callable[[], None]:
    """Work that fails."""

    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("shape", SHAPES)
async def test_the_principal_is_there_and_a_wrong_one_is_refused(shape: str) -> None:
    async with serving() as (call, _):
        assert (await call(shape, tenant="abc")).current == 3
        error = await refused(call, shape, tenant="No Tenant")
    assert error.code() == StatusCode.INVALID_ARGUMENT
    assert "metadata kaon-tenant 'No Tenant'" in (error.details() or "")


@pytest.mark.parametrize("shape", SHAPES)
async def test_requests_that_cannot_be_read_or_are_out_of_bounds_are_refused(shape: str) -> None:
    async with serving() as (call, _):
        unreadable = await refused(call, shape, b"\xff")
        unbounded = await refused(call, shape, m.GetModelRequest(model="a\0b").SerializeToString())
    for error, words in ((unreadable, "the request cannot be read"), (unbounded, "NUL character")):
        assert error.code() == StatusCode.INVALID_ARGUMENT
        assert words in (error.details() or "")
    assert (unreadable.details() or "").endswith(" (a hint)")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidValue("words"), StatusCode.INVALID_ARGUMENT),
        (NotFound("words"), StatusCode.NOT_FOUND),
        (Conflict("words"), StatusCode.ALREADY_EXISTS),
        (Unavailable("words"), StatusCode.UNAVAILABLE),
        (Denied("words"), StatusCode.PERMISSION_DENIED),
        (KaonError("words"), StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_each_error_has_its_status_and_its_words(error: KaonError, code: StatusCode) -> None:
    async with serving(raising(error)) as (call, _):
        for shape in SHAPES:
            told = await refused(call, shape)
            assert (told.code(), told.details()) == (code, "words")
            assert len(rpc_status.from_call(told).details) == isinstance(error, Denied)


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_nobody_has_foreseen_and_what_a_database_says_stay_in_the_log(
    shape: str,
) -> None:
    for error, code, words in (
        (ZeroDivisionError("the password is 1234"), StatusCode.INTERNAL, "internal error"),
        (
            DatabaseUnavailable("the password is 1234"),
            StatusCode.UNAVAILABLE,
            "the database does not answer",
        ),
        (
            DatabaseFull("the password is 1234"),
            StatusCode.UNAVAILABLE,
            "the database's disk is full",
        ),
    ):
        async with serving(raising(error)) as (call, _):
            told = await refused(call, shape)
        assert told.code() == code
        assert (told.details() or "").startswith(f"{words}; the tester's log tells more under ")
        assert "1234" not in (told.details() or "")


async def test_unary_calls_are_timed_by_method_and_status(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = Histogram("seconds", "Of a call.", ["method", "code"], registry=CollectorRegistry())
    refusals = seconds.labels("stream_unary", "INVALID_ARGUMENT")
    observe, counted = refusals.observe, asyncio.Event()

    def count(value: float) -> None:
        observe(value)
        counted.set()

    monkeypatch.setattr(refusals, "observe", count)
    async with serving(seconds=seconds) as (call, _):
        await call("unary_unary")
        await refused(call, "stream_unary", b"\xff")
        # A refusal is told before it is counted.
        await asyncio.wait_for(counted.wait(), 60)
    samples = next(iter(seconds.collect())).samples
    assert [
        (each.labels["method"], each.labels["code"], each.value)
        for each in samples
        if each.name == "seconds_count"
    ] == [("stream_unary", "INVALID_ARGUMENT", 1), ("unary_unary", "OK", 1)]


@pytest.mark.parametrize("shape", ["unary_unary", "stream_unary"])
async def test_a_call_that_its_client_gives_up_does_not_count_as_answered(shape: str) -> None:
    counted, begun = asyncio.Event(), asyncio.Event()
    seen: list[tuple[str, str]] = []

    class Seconds:
        """Notes the labels of what it is given, and that it was."""

        def labels(self, method: str, code: str) -> Seconds:
            seen.append((method, code))
            return self

        def observe(self, _seconds: float) -> None:
            counted.set()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with serving(wait=never, seconds=Seconds()) as (_, address):
        async with aio.insecure_channel(address) as channel:
            method: Any = getattr(channel, shape)(f"/{SERVICE}/{shape}")
            told = method(iter([b""]) if shape.startswith("stream") else b"")
            await begun.wait()
            told.cancel()
            await counted.wait()
    assert seen == [(shape, "CANCELLED")]


async def test_health_follows_what_the_server_is_told_and_needs_no_principal() -> None:
    async def refuse(_credentials: Credentials) -> Principal:
        raise Unauthenticated("nobody")

    guard = Guard(admission=Admission(authenticate=refuse, tenants=None))
    server = GrpcServer([SERVICE], CallRules(statuses=STATUSES, guard=guard))
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for ready in (False, True):
            await server.serving(ready=ready)
            status = (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status
            assert (status == health_pb2.HealthCheckResponse.SERVING) == ready == server.ready
    await server.stop(0)


def guard_of(
    authenticate: Callable[[Credentials], Awaitable[Principal]], recorder: Recorder | None = None
) -> Guard:
    """Before the methods of the test."""
    admission = Admission(authenticate=authenticate, tenants=None, table=TABLE)
    return Guard(admission=admission, recorder=recorder or NoRecorder())


@pytest.mark.parametrize("shape", SHAPES)
async def test_callers_that_are_unknown_or_lack_the_role_reach_no_handler(shape: str) -> None:
    async def by_token(credentials: Credentials) -> Principal:
        if credentials.bearer != "right":
            raise Unauthenticated("the signature is wrong")
        return Principal(name="ann", authentication="token")

    async with serving(raising(AssertionError("reached")), guard=guard_of(by_token)) as (call, _):
        unknown = await refused(call, shape, authorization="Bearer wrong")
        lacking = await refused(call, shape, authorization="Bearer right")
    assert unknown.code() == StatusCode.UNAUTHENTICATED
    assert "signature" not in (unknown.details() or "")
    assert lacking.code() == StatusCode.PERMISSION_DENIED
    assert lacking.details() == f"{shape} needs role viewer"


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_method_without_an_entry_is_refused_whoever_calls(shape: str) -> None:
    guard = Guard(admission=Admission(authenticate=without_authentication, tenants=None, table={}))
    async with serving(raising(AssertionError("reached")), guard=guard) as (call, _):
        error = await refused(call, shape)
    assert error.code() == StatusCode.PERMISSION_DENIED
    assert f"nobody may call /{SERVICE}/{shape}" in (error.details() or "")


class Records:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[CallRecord] = []

    async def recorded(self, call: CallRecord) -> None:
        """Keep the call."""
        self.calls.append(call)


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_call_is_recorded_with_its_caller_its_request_and_its_outcome(
    shape: str,
) -> None:
    records, asked = Records(), m.GetModelRequest(model="m")
    guard = guard_of(without_authentication, records)
    async with serving(guard=guard) as (call, _):
        await call(shape, asked.SerializeToString(), tenant="abc")
        await refused(call, shape, m.GetModelRequest(model="a\0b").SerializeToString())
    done, failed = records.calls
    assert (done.method, done.request, done.outcome) == (f"/{SERVICE}/{shape}", asked, "OK")
    assert done.principal is not None
    assert done.principal.tenant == "abc"
    assert failed.outcome == "INVALID_ARGUMENT"


@pytest.mark.parametrize("shape", SHAPES)
async def test_refused_callers_are_recorded(shape: str) -> None:
    async def nobody(_credentials: Credentials) -> Principal:
        raise Unauthenticated("nobody")

    records = Records()
    async with serving(guard=guard_of(nobody, records)) as (call, _):
        await refused(call, shape)
    (record,) = records.calls
    assert (record.principal, record.outcome) == (None, "UNAUTHENTICATED")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_that_cannot_be_recorded_fails(shape: str) -> None:
    class Full:
        """Keeps nothing any more."""

        async def recorded(self, call: CallRecord) -> None:
            """Refuse."""
            raise Unavailable("the audit log cannot be written")

    guard = guard_of(without_authentication, Full())
    async with serving(guard=guard) as (call, _):
        error = await refused(call, shape)
    assert error.code() == StatusCode.UNAVAILABLE
    assert "audit log cannot be written" in (error.details() or "")


@pytest.mark.parametrize("shape", ["unary_stream", "stream_stream"])
async def test_a_stream_ends_when_its_caller_may_not_call_any_more(shape: str) -> None:
    calls = 0

    async def once(_credentials: Credentials) -> Principal:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Unauthenticated("revoked")
        return Principal(name="ann", roles=frozenset({Role.VIEWER}), authentication="token")

    async with serving(guard=guard_of(once), again_seconds=0.0) as (call, _):
        error = await refused(call, shape)
    assert error.code() == StatusCode.UNAUTHENTICATED


async def test_reflection_needs_a_caller_and_tells_the_methods() -> None:
    async def by_token(credentials: Credentials) -> Principal:
        if credentials.bearer != "right":
            raise Unauthenticated("nobody")
        return Principal(name="ann", authentication="token")

    guard = Guard(admission=Admission(authenticate=by_token, tenants=None))
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    async with serving(guard=guard) as (_, address), aio.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(aio.AioRpcError) as told:
            await stub.ServerReflectionInfo(iter([asked])).read()
        assert told.value.code() == StatusCode.UNAUTHENTICATED
        shown = stub.ServerReflectionInfo(
            iter([asked]), metadata=[("authorization", "Bearer right")]
        )
        names = {each.name for each in (await shown.read()).list_services_response.service}
    assert SERVICE in names


@pytest.mark.parametrize(
    "path",
    [
        f"/{SERVICE}/unary_unary/grpc.health.v1.Health/Check",
        f"/grpc.health.v1.Health/../{SERVICE}/unary_unary",
        f"//{SERVICE}/unary_unary",
        f"/{SERVICE.upper()}/unary_unary",
    ],
)
async def test_a_path_that_looks_like_that_of_health_leads_to_no_other_method(path: str) -> None:
    async with serving(raising(AssertionError("reached"))) as (_, address):
        async with aio.insecure_channel(address) as channel:
            with pytest.raises(aio.AioRpcError) as told:
                await channel.unary_unary(path)(b"")
    assert told.value.code() in {StatusCode.UNIMPLEMENTED, StatusCode.PERMISSION_DENIED}


async def test_an_address_that_is_taken_is_told() -> None:
    async with serving() as (_, address):
        with pytest.raises(Unavailable, match=f"cannot listen on {address}"):
            await GrpcServer([SERVICE], CallRules(statuses=STATUSES, guard=NO_GUARD)).start(address)


@pytest.mark.parametrize("shape", ["unary_stream", "stream_stream"])
async def test_a_tenant_has_so_many_open_streams_as_its_limit_says(shape: str) -> None:
    held, asked = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        asked.set()
        await held.wait()

    limits = AllLimits(default=TenantLimits(streams=1))
    guard = replace(SHAPES_GUARD, rates=Rates(limits))
    async with serving(wait=wait, guard=guard) as (call, _):
        first = asyncio.create_task(call(shape))
        await asked.wait()
        with pytest.raises(aio.AioRpcError) as refused:
            await call(shape)
        assert refused.value.code() is StatusCode.RESOURCE_EXHAUSTED
        held.set()
        await first
        await call(shape)
