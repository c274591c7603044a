"""Logs people in with a token: the coordinator says whose it is."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import parse_qs

import grpc
import jwt
import structlog
from grpc import aio
from starlette.requests import Request
from starlette.responses import Response

from kaon_console.backends import Backends
from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed, failure_of
from kaon_console.login import Login
from kaon_console.methods import Backend
from kaon_service.principal import Principal
from kaon_service.roles import Kind
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

log = structlog.get_logger(__name__)

# A longer token does not fit into the metadata of a call.
_LARGEST_FORM = 16 * 1024
_SECONDS = 10.0


class TokenLogin:
    """Begins sessions for whoever shows a token that the coordinator accepts.

    Args:
        login: Keeps the sessions.
        backends: Leads to the coordinator.
    """

    def __init__(self, login: Login, backends: Backends) -> None:
        self._login = login
        self._backends = backends

    async def serve(self, request: Request) -> Response:
        """Answer POST /login, a form with `token`: 204 with a session, or Connect's error."""
        try:
            answer = Response(status_code=204)
            await self.begin(answer, await _token(request))
        except CallFailed as failure:
            log.info("login refused", code=failure.code.text)
            return Response(failure.encoded(), failure.code.http, media_type="application/json")
        return answer

    async def begin(self, answer: Response, token: str) -> None:
        """Make an answer begin a session of a token's holder, which ends with the token.

        Raises:
            CallFailed: The coordinator does not accept it, does not answer, or authenticates nobody.
        """
        caller = await self._whose(token)
        self._login.begin(answer, caller, token_id=_static_id(token), until=_end(token))

    async def _whose(self, token: str) -> Principal:
        """Return the person whose token it is.

        Raises:
            CallFailed: The coordinator does not accept it, does not answer, or authenticates nobody.
        """
        address, channel = self._backends.coordinator
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        shown = (("authorization", f"Bearer {token}"),)
        try:
            answer = await stub.WhoAmI(a.WhoAmIRequest(), metadata=shown, timeout=_SECONDS)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                text = "this token does not count: it is unknown, has expired or was revoked"
                raise CallFailed(Code.UNAUTHENTICATED, text) from error
            place = Backend.COORDINATOR.value
            raise failure_of(error, service=place, address=address) from error
        return _person(answer.caller)


def _person(caller: a.Caller) -> Principal:
    if caller.authentication == "off":
        # It would take everybody for whom they say they are.
        text = "the coordinator authenticates nobody, so a token says nothing: use a link"
        raise CallFailed(Code.FAILED_PRECONDITION, text)
    if caller.kind != Kind.PERSON:
        text = f"this is the token of a {caller.kind}: people log in here"
        raise CallFailed(Code.PERMISSION_DENIED, text)
    return Principal(
        tenant=caller.tenant,
        name=caller.name,
        roles=frozenset(caller.roles),
        authentication=caller.authentication,
    )


def _static_id(token: str) -> str:
    """Return the id of a static token; empty for another one. The coordinator has accepted it."""
    return token.split("_")[1] if token.startswith("kaon_") else ""


def _end(token: str) -> float:
    """Return when a JWT ends, in seconds since the epoch; never for another token. The coordinator has verified it."""
    if token.count(".") != 2:
        return math.inf
    return float(jwt.decode(token, options={"verify_signature": False})["exp"])


async def _token(request: Request) -> str:
    """Return the token of a form.

    Raises:
        CallFailed: There is none that can be shown.
    """
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST_FORM:
            raise CallFailed(
                Code.RESOURCE_EXHAUSTED, f"a login may have {_LARGEST_FORM} bytes at most"
            )
    try:
        (token,) = parse_qs(data.decode("ascii"), strict_parsing=True)["token"]
    except (ValueError, KeyError):
        raise CallFailed(Code.INVALID_ARGUMENT, "send a form with one field token") from None
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise CallFailed(Code.UNAUTHENTICATED, "this is no token: it has other characters")
    return token
