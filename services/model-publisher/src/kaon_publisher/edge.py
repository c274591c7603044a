"""What happens before every call: its request is within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from kaon_wire import bounds
from kaon_wire.errors import InvalidValue
from kaon_wire.statuses import fitting


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
        if isinstance(request, InvalidValue):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, fitting(str(request)))
        return await inner(request, context)

    return call


def _stream(inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    async def call(request: Any, context: Any) -> Any:
        if isinstance(request, InvalidValue):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, fitting(str(request)))
        async for response in inner(request, context):
            yield response

    return call
