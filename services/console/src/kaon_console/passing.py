"""Passes calls on to the services, and answers back: the next is read when the browser has taken the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio
from starlette.types import Receive, Send

from kaon_console.backends import Target
from kaon_console.calls import Call
from kaon_console.connect.codes import Code
from kaon_console.connect.envelopes import end_of_stream, enveloped
from kaon_console.connect.errors import CallFailed, failure_of
from kaon_console.streams import Ending

# For which a call that answers once is waited, unless the browser says how long.
UNARY_SECONDS = 60.0


async def pass_unary(target: Target, call: Call, receive: Receive) -> bytes | None:
    """Return the answer to a call; None when the browser has gone before.

    Raises:
        CallFailed: The call failed.
    """
    timeout = UNARY_SECONDS if call.timeout is None else call.timeout
    method: aio.UnaryUnaryMultiCallable[bytes, bytes] = target.channel.unary_unary(
        f"/{call.method.name}"
    )
    answering = asyncio.ensure_future(
        _awaited(method(call.body, metadata=call.metadata, timeout=timeout))
    )
    async with until_gone(receive) as gone:
        await _first(answering, gone)
        if not answering.done():
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            return None
    answer: bytes = _result(answering, target)
    return answer


async def pass_stream(
    target: Target, call: Call, request: bytes, ending: Ending, receive: Receive, send: Send
) -> None:
    """Send the messages of a stream, and its end: as long as the browser is there, and nobody ends it here.

    Args:
        target: where the method is called.
        call: of the browser.
        request: the call's one message.
        ending: is given why the stream ends, when that lies here.
        receive: tells when the browser has gone.
        send: takes the body of the answer, whose headers are sent; it waits until the browser has taken enough.
    """
    method: aio.UnaryStreamMultiCallable[bytes, bytes] = target.channel.unary_stream(
        f"/{call.method.name}"
    )
    stream = method(request, metadata=call.metadata, timeout=call.timeout)
    failure: CallFailed | None = None
    async with until_gone(receive) as gone:
        try:
            while (message := await next_message(stream, target, ending, gone)) is not None:
                await send(_body(enveloped(message), more=True))
        except CallFailed as error:
            failure = error
        finally:
            stream.cancel()
        if not gone.done():
            await send(_body(end_of_stream(failure), more=False))


async def next_message(
    stream: Any, target: Target, ending: Ending, gone: asyncio.Task[None]
) -> bytes | None:
    """Return the next message; None at the end, and when the browser has gone.

    Raises:
        CallFailed: The stream failed, or is ended here.
    """
    reading = asyncio.ensure_future(stream.read())
    await _first(reading, gone, ending)
    if gone.done() or ending.done():
        stream.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        if gone.done():
            return None
        raise ending.result()
    message = _result(reading, target)
    return None if message is aio.EOF else message


def _result(answer: asyncio.Future[Any], target: Target) -> Any:
    if answer.cancelled():
        # Its channel was closed.
        raise CallFailed(Code.UNAVAILABLE, "the console stops")
    try:
        return answer.result()
    except aio.AioRpcError as error:
        raise failure_of(error, service=target.service, address=target.address) from error


async def _awaited(call: Any) -> bytes:
    answer: bytes = await call
    return answer


async def _first(*waits: asyncio.Future[Any]) -> None:
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


@asynccontextmanager
async def until_gone(receive: Receive) -> AsyncIterator[asyncio.Task[None]]:
    """Return a task that ends when the browser has gone. The body of the request must have been read."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(watch())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _body(piece: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": piece, "more_body": more}
