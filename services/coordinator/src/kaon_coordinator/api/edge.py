"""What happens around every call: the principal comes in, errors go out as statuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc import aio
from prometheus_client import Histogram

from kaon_coordinator.api import principal
from kaon_coordinator.api.errors import code_of, internal, status_of
from kaon_wire.errors import KaonError

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
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), *codecs)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(_stream(method, handler.unary_stream), *codecs)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(self._unary(method, handler.stream_unary), *codecs)
        return grpc.stream_stream_rpc_method_handler(_stream(method, handler.stream_stream), *codecs)

    def _unary(
        self, method: str, inner: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        name = method.rsplit("/", 1)[-1]

        async def call(request: Any, context: Any) -> Any:
            began, code = time.perf_counter(), "OK"
            try:
                principal.enter(context.invocation_metadata() or ())
                return await inner(request, context)
            except Exception as error:
                code = code_of(error)
                await _tell(method, context, error)
            finally:
                if self._seconds is not None:
                    self._seconds.labels(name, code).observe(time.perf_counter() - began)

        return call


def _stream(
    method: str, inner: Callable[[Any, Any], AsyncIterator[Any]]
) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            principal.enter(context.invocation_metadata() or ())
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
