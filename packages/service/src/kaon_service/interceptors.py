"""The rules around every call: who may call, bounds of the request, statuses of errors, metrics, records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio
from prometheus_client import Histogram

from kaon_service import principal
from kaon_service.access import recording
from kaon_service.access.credentials import Credentials
from kaon_service.access.guard import Guard
from kaon_service.access.recording import CallRecord
from kaon_service.access.shown import credentials_of
from kaon_service.access.table import HEALTH
from kaon_service.statuses import StatusTable
from kaon_wire import bounds
from kaon_wire.errors import InvalidValue

# The check of a request with more bytes may take more than a few milliseconds.
_LARGE_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class CallRules:
    """A service's rules for every call."""

    statuses: StatusTable
    # Decides who may call, and is told of every call.
    guard: Guard
    # Raises `InvalidValue` for a request that exceeds its bounds.
    check: Callable[[Message], None] = bounds.check
    # The hint that follows the reason of a decoding error.
    undecodable_hint: str = ""
    # Observes the duration of each unary call, by method and status.
    seconds: Histogram | None = None
    # The caller of a stream is authenticated again after so many seconds, before the next response.
    again_seconds: float = 30.0


class CallInterceptor(aio.ServerInterceptor):
    """Wraps every handler but that of health checks in the rules of its calls."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules
        # By method, for as long as its handler stays the same.
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the wrapped handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(HEALTH):
            return handler
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self._wrap(method, handler))
        return known[1]

    def _wrap(self, method: str, handler: Any) -> Any:
        codecs = (_tolerant(handler.request_deserializer), handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary), *codecs
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), *codecs
            )
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, handler.stream_unary), *codecs
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream(method, handler.stream_stream), *codecs
        )

    def _unary(
        self, method: str, inner: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        name, seconds = method.rsplit("/", 1)[-1], self._rules.seconds

        async def call(request: Any, context: Any) -> Any:
            began, record = time.perf_counter(), _begun(method, request)
            try:
                async with self._ruled(record, context):
                    return await inner(await self._checked(request, record), context)
            finally:
                if seconds is not None:
                    seconds.labels(name, record.outcome).observe(time.perf_counter() - began)

        return call

    def _stream(
        self, method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            record, admitted = _begun(method, request), time.monotonic()
            async with self._ruled(record, context):
                with self._rules.guard.rates.stream(principal.current().tenant):
                    checked = await self._checked(request, record)
                    async for response in inner(checked, context):
                        if time.monotonic() - admitted >= self._rules.again_seconds:
                            await self._admit_again(record, context)
                            admitted = time.monotonic()
                        yield response

        return call

    @asynccontextmanager
    async def _ruled(self, record: CallRecord, context: Any) -> AsyncIterator[None]:
        """Admit the caller before, tell the record behind, and end the call with the status of an error."""
        try:
            try:
                await self._enter(record, credentials_of(context))
                yield
            except BaseException as error:
                record.outcome = self._outcome(error, context)
                raise
            finally:
                await self._rules.guard.recorder.recorded(record)
        except aio.AbortError:
            raise
        except Exception as error:
            record.outcome = self._rules.statuses.code_name(error)
            await context.abort_with_status(self._rules.statuses.status_of(error, record.method))

    async def _enter(self, record: CallRecord, credentials: Credentials) -> None:
        """Make the caller the current one of this task, if it may call now; the record knows it also when it may not."""
        admission, rates = self._rules.guard.admission, self._rules.guard.rates
        record.principal = await admission.authenticate(credentials)
        caller = await admission.allow(record.method, record.principal, credentials)
        record.principal = caller
        principal.enter(caller)
        recording.enter(record)
        rates.call(caller.tenant)

    async def _admit_again(self, record: CallRecord, context: Any) -> None:
        """Check that the caller of a stream may still call. A service checks whom it passes on by itself."""
        if record.principal is not None and record.principal.authentication != "service":
            await self._rules.guard.admission.admit(record.method, credentials_of(context))

    def _outcome(self, error: BaseException, context: Any) -> str:
        """Return the name of the status with which a call ends."""
        if isinstance(error, aio.AbortError):
            return next(
                (each.name for each in grpc.StatusCode if each.value[0] == context.code()),
                grpc.StatusCode.UNKNOWN.name,
            )
        if isinstance(error, Exception):
            return self._rules.statuses.code_name(error)
        # By its client, or by its time-out.
        return grpc.StatusCode.CANCELLED.name

    async def _checked(self, request: Any, record: CallRecord) -> Any:
        """Check the request, or every request of a stream, and put the first one into the record.

        A large request is checked in a thread: other calls go on meanwhile.
        """
        if not hasattr(request, "__aiter__"):
            if isinstance(request, Message) and request.ByteSize() > _LARGE_BYTES:
                return await asyncio.to_thread(self._check, request, record)
            return self._check(request, record)

        async def each() -> AsyncIterator[Any]:
            async for one in request:
                yield self._check(one, record)

        return each()

    def _check(self, request: Any, record: CallRecord) -> Any:
        """Check a request against the bounds of its fields.

        Raises:
            InvalidValue: The request cannot be decoded, or exceeds its bounds.
        """
        if isinstance(request, _Undecodable):
            raise InvalidValue(
                f"the request cannot be read: {request.problem}{self._rules.undecodable_hint}"
            )
        if isinstance(request, Message):
            if record.request is None:
                record.request = request
            self._rules.check(request)
        return request


def _begun(method: str, request: Any) -> CallRecord:
    return CallRecord(method=method, request=request if isinstance(request, Message) else None)


@dataclass(frozen=True, kw_only=True)
class _Undecodable:
    """Placeholder for a request that is not a message."""

    problem: str


def _tolerant(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a decoder whose malformed requests are refused like other invalid ones: gRPC would report INTERNAL."""

    def decoded(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            return _Undecodable(problem=str(error))

    return decoded
