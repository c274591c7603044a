"""What happens around every call: its request is within its bounds, and what nobody has foreseen goes out without its text."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc import aio

from kaon_wire import bounds
from kaon_wire.errors import InvalidValue
from kaon_wire.statuses import fitting

log = structlog.get_logger(__name__)


class Edge(aio.ServerInterceptor):
    """Refuses requests of Kaon's services that are out of their bounds: INVALID_ARGUMENT names the field and the bound."""

    async def intercept_service(
        self, continuation: Any, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of one call; one that only refuses when the request is wrong."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/kaonapi."):
            return handler
        decode = _checking(handler.request_deserializer)
        if handler.unary_unary:
            call = _unary(handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(call, decode, handler.response_serializer)
        call = _stream(handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(call, decode, handler.response_serializer)


def _checking(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decoded(data: bytes) -> Any:
        try:
            request = decode(data)
            bounds.check(request)
        except DecodeError as error:
            return InvalidValue(f"the request cannot be read: {error}")
        except InvalidValue as error:
            return error
        return request

    return decoded


def _unary(inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def call(request: Any, context: Any) -> Any:
        try:
            await _refuse(request, context)
            return await inner(request, context)
        except aio.AbortError:
            raise
        except Exception as error:
            await abort_internal(context, error)

    return call


def _stream(inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def call(request: Any, context: Any) -> Any:
        try:
            await _refuse(request, context)
            async for response in inner(request, context):
                yield response
        except aio.AbortError:
            raise
        except Exception as error:
            await abort_internal(context, error)

    return call


async def _refuse(request: Any, context: Any) -> None:
    """Ends the call of a request that is out of its bounds."""
    if isinstance(request, InvalidValue):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, fitting(str(request)))


async def abort_internal(context: Any, error: Exception) -> None:
    """Ends a call with something that nobody has foreseen. Its text stays in the log, under a reference."""
    text = f"internal error: the publisher's log tells more under {logged(error)}"
    await context.abort(grpc.StatusCode.INTERNAL, text)


def logged(error: Exception) -> str:
    """Logs an error with its stack, and returns the reference under which it stands there."""
    reference = uuid.uuid4().hex[:12]
    log.error("call failed", reference=reference, exc_info=error)
    return reference
