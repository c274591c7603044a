"""What happens around every call: the principal comes in, the request is within its bounds, errors go out as statuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc import aio
from prometheus_client import Histogram

from kaon_coordinator.api import principal
from kaon_coordinator.api.errors import code_of, internal, status_of
from kaon_coordinator.engine.definition.limits import DEFAULT
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_wire import bounds
from kaon_wire.errors import InvalidValue, KaonError

log = structlog.get_logger(__name__)


class Edge(aio.ServerInterceptor):
    """Wraps the handlers of Kaon's services; health checks and reflection need no principal.

    Args:
        seconds: gets how long each unary call took, by method and status.
    """

    def __init__(self, seconds: Histogram | None = None) -> None:
        self._seconds = seconds

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of one call, wrapped."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/kaonapi."):
            return handler
        codecs = (_tolerant(handler.request_deserializer), handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codecs)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(_stream(method, handler.unary_stream), *codecs)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(method, _checked(handler.stream_unary)), *codecs
            )
        return grpc.stream_stream_rpc_method_handler(
            _stream(method, _checked(handler.stream_stream)), *codecs
        )

    def _unary(
        self, method: str, inner: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        name = method.rsplit("/", 1)[-1]

        async def call(request: Any, context: Any) -> Any:
            began, code = time.perf_counter(), "OK"
            try:
                principal.enter(context.invocation_metadata() or ())
                _check(request)
                return await inner(request, context)
            except Exception as error:
                code = code_of(error)
                await _tell(method, context, error)
            finally:
                if self._seconds is not None:
                    self._seconds.labels(name, code).observe(time.perf_counter() - began)

        return call


@dataclass(frozen=True, kw_only=True)
class _Undecodable:
    """Stands for a request that is no message."""

    problem: str


def _tolerant(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Decodes requests, so that one that is no message is refused like any other that is wrong: gRPC would call it INTERNAL."""

    def decoded(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            return _Undecodable(problem=str(error))

    return decoded


def _check(request: Any) -> None:
    """Checks a request against the bounds of its fields.

    Raises:
        InvalidRequest: names every field that is out of its bounds, and the bound.
    """
    if isinstance(request, _Undecodable):
        raise InvalidValue(
            f"the request cannot be read: {request.problem}. It is damaged, or nested deeper than 100 messages; the blocks of a "
            f"workflow may be nested as deep as the limit nesting_depth, which is {DEFAULT.nesting_depth} unless set otherwise"
        )
    if isinstance(request, Message) and (found := bounds.violations(request)):
        problems = [Problem(field=each.field, text=each.text) for each in found]
        raise InvalidRequest(request.DESCRIPTOR.name, problems)


def _checked(inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Checks every request of a stream."""

    async def each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            _check(request)
            yield request

    def call(requests: AsyncIterator[Any], context: Any) -> Any:
        return inner(each(requests), context)

    return call


def _stream(
    method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            principal.enter(context.invocation_metadata() or ())
            _check(request)
            async for response in inner(request, context):
                yield response
        except Exception as error:
            await _tell(method, context, error)

    return call


async def _tell(method: str, context: Any, error: Exception) -> None:
    """Ends the call with the error's status. What nobody has foreseen is logged and told without its text."""
    if isinstance(error, aio.AbortError):
        raise error
    if isinstance(error, KaonError):
        log.info("call refused", method=method, error=str(error))
        await context.abort_with_status(status_of(error))
    reference = uuid.uuid4().hex[:12]
    log.error("call failed", method=method, reference=reference, exc_info=error)
    await context.abort_with_status(internal(reference))
