"""POST /api/<service>/<method>: calls of the browser, passed on undecoded for the methods that are listed."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kaon_console.backends import Backends
from kaon_console.calls import read_call
from kaon_console.connect import headers as asked
from kaon_console.connect.codes import Code
from kaon_console.connect.envelopes import end_of_stream, only_message
from kaon_console.connect.errors import CallFailed
from kaon_console.login import Login
from kaon_console.methods import METHODS, Access, Method
from kaon_console.passing import pass_stream, pass_unary
from kaon_console.streams import Streams
from kaon_console.tickets import Grant

PREFIX = "/api/"
_STREAM_BEGINS = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", asked.STREAM_TYPE.encode())],
}


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """What passing calls on works with."""

    login: Login
    backends: Backends
    streams: Streams
    read_only: bool


class Api:
    """An ASGI application for the paths below `PREFIX`."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""
        request = Request(scope, receive)
        try:
            answer = await self._serve(request, receive, send)
        except CallFailed as failure:
            answer = Response(failure.encoded(), failure.code.http, media_type="application/json")
        except ClientDisconnect:
            return
        if answer is not None:
            await answer(scope, receive, send)

    async def _serve(self, request: Request, receive: Receive, send: Send) -> Response | None:
        """Return the answer; None when it was sent as a stream, or when the browser has gone.

        Raises:
            CallFailed: The call failed before anything was sent.
            ClientDisconnect: The browser has gone.
        """
        if request.method != "POST":
            return Response(status_code=405, headers={"allow": "POST"})
        grant = self._parts.login.grant(request)
        if grant is None:
            return self._parts.login.refused()
        method = self._method(request.url.path.removeprefix(PREFIX))
        wanted = asked.STREAM_TYPE if method.streams else asked.UNARY_TYPE
        if asked.media_type(request.headers) != wanted:
            return Response(status_code=415, headers={"accept-post": wanted})
        if method.streams:
            await self._stream(request, method, grant, receive, send)
            return None
        shown = await self._parts.backends.metadata_for(grant)
        call = await read_call(request, method, grant, shown)
        reply = await pass_unary(await self._parts.backends.target(method), call, receive)
        return None if reply is None else Response(reply, media_type=asked.UNARY_TYPE)

    def _method(self, name: str) -> Method:
        """Return the called method.

        Raises:
            CallFailed: The console does not pass the method on.
        """
        method = METHODS.get(name)
        if method is None:
            raise CallFailed(Code.UNIMPLEMENTED, "the console passes no such method on")
        if self._parts.read_only and method.access is Access.COMMAND:
            raise CallFailed(
                Code.PERMISSION_DENIED,
                "this console shows the runs that a directory keeps: nobody is there to carry commands out",
            )
        return method

    async def _stream(
        self, request: Request, method: Method, grant: Grant, receive: Receive, send: Send
    ) -> None:
        """Answer with a stream, whose last envelope says how the call has ended: its HTTP status is always 200."""
        try:
            shown = await self._parts.backends.metadata_for(grant)
            call = await read_call(request, method, grant, shown)
            message = only_message(call.body)
            with self._parts.streams.opened(grant) as ending:
                target = await self._parts.backends.target(method)
                await send(_STREAM_BEGINS)
                await pass_stream(target, call, message, ending, receive, send)
        except CallFailed as failure:
            await send(_STREAM_BEGINS)
            await send({"type": "http.response.body", "body": end_of_stream(failure)})
