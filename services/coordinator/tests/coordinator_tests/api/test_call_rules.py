"""What is checked of every request before anything is done with it, over real gRPC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hostile_calls
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from grpc import StatusCode, aio

from kaon_coordinator.api.server import ApiServer
from kaon_coordinator.bootstrap import validator
from kaon_coordinator.engine.definition.limits import DEFAULT
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w

from .conftest import Api
from .test_hostile_requests import METHODS


async def refused(channel: aio.Channel, method: MethodDescriptor, data: bytes) -> str:
    """Sends bytes, and returns the words with which they are refused."""
    path = hostile_calls.path_of(method)
    call: Any
    if method.client_streaming:
        call = channel.stream_unary(path)(iter([data]))
    elif method.server_streaming:
        call = channel.unary_stream(path)(data).read()
    else:
        call = channel.unary_unary(path)(data)
    with pytest.raises(aio.AioRpcError) as told:
        await call
    assert told.value.code() == StatusCode.INVALID_ARGUMENT, method.name
    return told.value.details() or ""


def texts(method: MethodDescriptor) -> list[FieldDescriptor]:
    """The plain texts of a request."""
    return [
        field
        for field in method.input_type.fields
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    ]


async def test_bytes_that_are_no_message_are_refused_in_words(api: Api) -> None:
    for method in METHODS:
        for data in (b"\xff", b"\x0a\x7fcut"):
            assert "the request cannot be read" in await refused(api.channel, method, data), (
                method.name
            )


async def test_texts_that_are_no_utf_8_are_refused_in_words(api: Api) -> None:
    """Half of a surrogate pair, as a careless client encodes it, and bytes that are nothing at all."""
    for method in METHODS:
        for field in texts(method):
            for text in (b"\xed\xa0\x80", b"\xff"):
                data = bytes([field.number << 3 | 2, len(text)]) + text
                assert "the request cannot be read" in await refused(api.channel, method, data), (
                    field.full_name
                )


async def test_a_nul_in_any_text_is_refused_with_the_field(api: Api) -> None:
    for method in METHODS:
        for field in texts(method):
            data = bytes([field.number << 3 | 2, 3]) + b"a\0b"
            assert f"{field.name} has a NUL character" in await refused(
                api.channel, method, data
            ), field.full_name


def nested(levels: int) -> bytes:
    """A registration of groups within one another, as bytes: no library makes a message so deep."""
    body = d.Graph(blocks=[d.Block(name="s", step=d.Step(type="python"))]).SerializeToString()
    for level in range(levels):
        group = _field(d.Group.DESCRIPTOR.fields_by_name["body"], body)
        name = _field(d.Block.DESCRIPTOR.fields_by_name["name"], f"g{level}".encode())
        block = name + _field(d.Block.DESCRIPTOR.fields_by_name["group"], group)
        body = _field(d.Graph.DESCRIPTOR.fields_by_name["blocks"], block)
    fields = d.WorkflowDefinition.DESCRIPTOR.fields_by_name
    definition = _field(fields["name"], b"w") + _field(fields["body"], body)
    return _field(w.RegisterWorkflowRequest.DESCRIPTOR.fields_by_name["definition"], definition)


def _field(field: FieldDescriptor, content: bytes) -> bytes:
    """A field with its length before it."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([field.number << 3 | 2]) + length + bytes([size]) + content


@pytest.mark.parametrize("levels", [20, 40, 500])
async def test_blocks_nested_too_deeply_are_refused_with_the_limit(api: Api, levels: int) -> None:
    register = next(method for method in METHODS if method.name == "RegisterWorkflow")
    server = ApiServer(replace(api.parts, validate=validator(DEFAULT)))
    port = await server.start("127.0.0.1:0")
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        told = await refused(channel, register, nested(levels))
    await server.stop(grace=0)
    assert "nesting_depth" in told
    assert "16" in told
