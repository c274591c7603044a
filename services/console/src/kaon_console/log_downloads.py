"""GET /log/<run>?path=...&attempt=...: the whole log of an attempt as a file, piece by piece, however long it is.

The page itself would have to hold all of it before the browser could keep it.
"""

from __future__ import annotations

import re

import structlog
from grpc import aio
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kaon_console.backends import Backends
from kaon_console.connect.errors import CallFailed
from kaon_console.login import Login
from kaon_console.methods import METHODS
from kaon_console.passing import next_message, until_gone
from kaon_console.streams import Ending, Streams
from kaon_console.tickets import Grant
from kaonapi.log.v1 import log_pb2

log = structlog.get_logger(__name__)

_READ = METHODS["kaonapi.log.v1.LogService/ReadWholeLog"]
_MOST_ATTEMPTS = 2**31


class LogDownloads:
    """Streams logs to browsers; an application of its own, for it stops reading when the browser has gone.

    Args:
        login: tells who asks.
        backends: leads to the coordinator, which reads them.
        streams: counts each as a stream, which ends with its session.
    """

    def __init__(self, login: Login, backends: Backends, streams: Streams) -> None:
        self._login = login
        self._backends = backends
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one log."""
        request = Request(scope, receive)
        grant = self._login.grant(request)
        if grant is None:
            await self._login.refused()(scope, receive, send)
            return
        attempt = request.query_params.get("attempt", "0")
        if not attempt.isascii() or not attempt.isdigit() or int(attempt[:11]) >= _MOST_ATTEMPTS:
            await _told(400, "parameter attempt must be a number")(scope, receive, send)
            return
        wish = log_pb2.ReadWholeLogRequest(
            run_id=request.path_params["run_id"],
            path=request.query_params.get("path", ""),
            attempt=int(attempt),
        )
        try:
            with self._streams.opened(grant) as ending:
                await self._send(wish, grant, ending, receive, send)
        except CallFailed as failure:
            await _told(failure.code.http, failure.message)(scope, receive, send)

    async def _send(
        self,
        wish: log_pb2.ReadWholeLogRequest,
        grant: Grant,
        ending: Ending,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send a log as it comes. If it breaks off, the server closes the connection before its end, and the browser says so.

        Raises:
            CallFailed: The coordinator does not give it. Nothing has been sent.
        """
        target = await self._backends.target(_READ)
        shown = await self._backends.metadata_for(grant)
        method: aio.UnaryStreamMultiCallable[bytes, bytes] = target.channel.unary_stream(
            f"/{_READ.name}"
        )
        stream = method(wish.SerializeToString(), metadata=shown)
        begun = False
        async with until_gone(receive) as gone:
            try:
                while (data := await next_message(stream, target, ending, gone)) is not None:
                    piece = log_pb2.ReadWholeLogResponse.FromString(data)
                    if not begun:
                        await send(_start(wish, piece))
                        begun = True
                    await send(
                        {"type": "http.response.body", "body": piece.data, "more_body": True}
                    )
            except CallFailed as failure:
                if not begun:
                    raise
                log.warning("log download broken off", run=wish.run_id, reason=failure.message)
                return
            finally:
                stream.cancel()
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _start(
    wish: log_pb2.ReadWholeLogRequest, first: log_pb2.ReadWholeLogResponse
) -> dict[str, object]:
    step = re.sub(r"[^\w.-]+", "_", wish.path, flags=re.ASCII)
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(first.size_bytes),
        "content-disposition": f'attachment; filename="{step[-100:]}-{first.attempt}.log"',
    }
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def _told(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status)
