"""Calls over gRPC with any request, and what may come back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hostile
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc import StatusCode, aio
from grpc_status import rpc_status  # type: ignore[import-untyped]

# What callers are told of; INTERNAL and UNKNOWN are defects, and UNAVAILABLE is for what is away.
DOCUMENTED = {
    StatusCode.OK,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.ALREADY_EXISTS,
    StatusCode.PERMISSION_DENIED,
}
# How long a stream is listened to that has no end.
STREAM_SECONDS = 0.05


def methods(files: Iterable[FileDescriptor]) -> list[MethodDescriptor]:
    """Every method of the services in these files."""
    services = [service for file in files for service in file.services_by_name.values()]
    return [method for service in services for method in service.methods]


def path_of(method: MethodDescriptor) -> str:
    """What gRPC calls a method."""
    return f"/{method.containing_service.full_name}/{method.name}"


async def call(
    channel: aio.Channel, method: MethodDescriptor, request: Message, metadata: Any = ()
) -> tuple[StatusCode, Any]:
    """Calls a method: the code, and the answer, a list of a stream's. Fails when something else comes back than is documented."""
    kinds: Any = method.input_type._concrete_class, method.output_type._concrete_class
    codecs = {
        "request_serializer": kinds[0].SerializeToString,
        "response_deserializer": kinds[1].FromString,
    }
    path, code, answer, error = path_of(method), StatusCode.OK, None, None
    try:
        if method.client_streaming:
            answer = await channel.stream_unary(path, **codecs)(
                iter([request, request]), metadata=metadata
            )
        elif method.server_streaming:
            stream = channel.unary_stream(path, **codecs)(
                request, metadata=metadata, timeout=STREAM_SECONDS
            )
            answer = [each async for each in stream]
        else:
            answer = await channel.unary_unary(path, **codecs)(request, metadata=metadata)
    except aio.AioRpcError as refused:
        code, error = refused.code(), refused
    if method.server_streaming and code == StatusCode.DEADLINE_EXCEEDED:
        return StatusCode.OK, []
    assert code in DOCUMENTED, (method.name, request, error)
    if error is not None:
        check_words(method, request, error)
    return code, answer


def check_words(method: MethodDescriptor, request: Message, error: aio.AioRpcError) -> None:
    """The error is in words, and what is wrong with a request names the field."""
    text = error.details() or ""
    assert text.strip(), (method.name, request)
    assert "Traceback" not in text
    if error.code() != StatusCode.INVALID_ARGUMENT:
        return
    status = rpc_status.from_call(error)
    details = error_details_pb2.BadRequest()
    told = [] if status is None else status.details
    named = any(each.Unpack(details) and details.field_violations for each in told)
    names = {field.name for part in hostile.parts(request) for field in part.DESCRIPTOR.fields}
    assert named or any(name in text for name in {*names, "kaon-"}), (method.name, request, text)
