"""The rules around every call: principal, bounds of the request, statuses of errors, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio
from prometheus_client import Histogram

from kaon_service.statuses import StatusTable
from kaon_wire import bounds
from kaon_wire.errors import InvalidValue

# These rules apply only to Kaon's own services: health checks and reflection need no principal.
_OURS = "/kaonapi."


def _accept_anyone(_metadata: Any) -> None:
    """Leave the check of the metadata to the service."""


@dataclass(frozen=True, kw_only=True)
class CallRules:
    """A service's rules for every call."""

    statuses: StatusTable
    # Takes the principal from the metadata; raises `InvalidValue` for an invalid one.
    enter: Callable[[Any], object] = _accept_anyone
    # Raises `InvalidValue` for a request that exceeds its bounds.
    check: Callable[[Message], None] = bounds.check
    # The hint that follows the reason of a decoding error.
    undecodable_hint: str = ""
    # Observes the duration of each unary call, by method and status.
    seconds: Histogram | None = None


class CallInterceptor(aio.ServerInterceptor):
    """Wraps the handlers of Kaon's services in the rules of their calls."""

    def __init__(self, rules: CallRules) -> None:
        self._rules = rules

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the wrapped handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
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
            inner = self._checked(handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(self._unary(method, inner), *codecs)
        inner = self._checked(handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(self._stream(method, inner), *codecs)

    def _unary(
        self, method: str, inner: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        name, rules = method.rsplit("/", 1)[-1], self._rules

        async def call(request: Any, context: Any) -> Any:
            began, code = time.perf_counter(), "OK"
            try:
                rules.enter(context.invocation_metadata() or ())
                self._check(request)
                return await inner(request, context)
            except asyncio.CancelledError:
                # By its client, or by its time-out.
                code = grpc.StatusCode.CANCELLED.name
                raise
            except Exception as error:
                code = rules.statuses.code_name(error)
                await self._abort(method, context, error)
            finally:
                if rules.seconds is not None:
                    rules.seconds.labels(name, code).observe(time.perf_counter() - began)

        return call

    def _stream(
        self, method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]
    ) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._rules.enter(context.invocation_metadata() or ())
                self._check(request)
                async for response in inner(request, context):
                    yield response
            except Exception as error:
                await self._abort(method, context, error)

        return call

    def _checked(self, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Check every request of a stream."""

        async def each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for request in requests:
                self._check(request)
                yield request

        def call(requests: AsyncIterator[Any], context: Any) -> Any:
            return inner(each(requests), context)

        return call

    def _check(self, request: Any) -> None:
        """Check a request against the bounds of its fields; the iterator of a stream's requests is not a request.

        Raises:
            InvalidValue: The request cannot be decoded, or exceeds its bounds.
        """
        if isinstance(request, _Undecodable):
            raise InvalidValue(
                f"the request cannot be read: {request.problem}{self._rules.undecodable_hint}"
            )
        if isinstance(request, Message):
            self._rules.check(request)

    async def _abort(self, method: str, context: Any, error: Exception) -> None:
        """End the call with the error's status."""
        if isinstance(error, aio.AbortError):
            raise error
        await context.abort_with_status(self._rules.statuses.status_of(error, method))


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
