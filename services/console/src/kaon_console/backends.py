"""Channels to the services. Requests and answers pass as bytes, for nobody here looks into them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from kaon_console.connect.codes import Code
from kaon_console.connect.errors import CallFailed, failure_of
from kaon_console.methods import Backend, Method
from kaon_console.settings import Settings
from kaon_console.tickets import Grant
from kaon_service.access.calling import Calling
from kaon_service.access.remembered import Remembered
from kaon_service.access.remote import RemoteAccess
from kaon_service.access.static_tokens import CACHE_SECONDS
from kaon_wire.errors import KaonError, Unavailable

VIEW_SERVICE = "kaonapi.view.v1.ViewService"
# Of the view service, unless it was given another one.
VIEW_PORT = 7075
_HEALTH_SECONDS = 5.0
# Definitions and histories may be large; the services have limits of their own.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Notices a peer that is gone without a word; servers take more than one ping in five minutes for abuse.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A server on this machine is not behind a proxy.
    ("grpc.enable_http_proxy", 0),
    # Each channel has a connection of its own, also where two lead to one place.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.primary_user_agent", "kaon-console"),
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a method is called, and how its place is called in errors."""

    service: str
    address: str
    channel: aio.Channel


class Backends:
    """Two channels to each address: what streams in plenty does not stand in the way of a call that somebody waits for."""

    def __init__(self, settings: Settings, calling: Calling) -> None:
        self._calling = calling
        self._tokens = Remembered(self._counts, CACHE_SECONDS)
        self._addresses: dict[Backend, str] = {
            Backend.COORDINATOR: settings.server,
            Backend.VIEW: settings.view,
            Backend.PUBLISHER: settings.publisher,
        }
        self._channels: dict[tuple[str, bool], aio.Channel] = {}

    async def target(self, method: Method) -> Target:
        """Return the service of a method.

        Raises:
            CallFailed: Nobody tells where it is.
        """
        address = self._addresses[method.backend] or await self._find_view()
        channel = self._channel(address, streams=method.streams)
        return Target(service=method.backend.value, address=address, channel=channel)

    @property
    def coordinator(self) -> tuple[str, aio.Channel]:
        """Return the address of the coordinator, and a channel to it."""
        address = self._addresses[Backend.COORDINATOR]
        return address, self._channel(address, streams=False)

    async def metadata_for(self, grant: Grant) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call in a session.

        Raises:
            CallFailed: The token with which the session began has ended; or the login of the person who has started this console
                has expired, or cannot be renewed now.
        """
        try:
            if grant.token_id and not await self._tokens.get(grant.token_id):
                raise CallFailed(
                    Code.UNAUTHENTICATED, "the token of this session has ended: sign in again"
                )
            # A login is renewed by its issuer.
            return await asyncio.to_thread(self._calling.metadata_for, grant.principal)
        except Unavailable as error:
            raise CallFailed(Code.UNAVAILABLE, str(error)) from error
        except KaonError as error:
            raise CallFailed(Code.UNAUTHENTICATED, str(error)) from error

    async def _counts(self, token_id: str) -> bool:
        """Return whether a static token has neither expired nor been revoked."""
        _, channel = self.coordinator
        token = await RemoteAccess(channel, lambda: self._calling.own_metadata).find(token_id)
        if token is None or token.revoked:
            return False
        return token.expires_us is None or time.time() * 1e6 < token.expires_us

    async def close(self) -> None:
        """Cancel running calls, and close the channels."""
        for channel in self._channels.values():
            await channel.close(grace=None)

    def _channel(self, address: str, *, streams: bool) -> aio.Channel:
        place = (address, streams)
        if place not in self._channels:
            self._channels[place] = self._calling.channels.open_async(address, _OPTIONS)
        return self._channels[place]

    async def _find_view(self) -> str:
        """Return where views are served: by the coordinator, as in a system of one process, or at the usual port of its host.

        A coordinator that does not answer is asked again by the next call.

        Raises:
            CallFailed: It does not answer.
        """
        server = self._addresses[Backend.COORDINATOR]
        health = health_pb2_grpc.HealthStub(self._channel(server, streams=False))
        try:
            await health.Check(
                health_pb2.HealthCheckRequest(service=VIEW_SERVICE), timeout=_HEALTH_SECONDS
            )
        except aio.AioRpcError as error:
            if error.code() is not StatusCode.NOT_FOUND:
                raise failure_of(error, service=Backend.VIEW.value, address=server) from error
            self._addresses[Backend.VIEW] = f"{server.rpartition(':')[0]}:{VIEW_PORT}"
        else:
            self._addresses[Backend.VIEW] = server
        return self._addresses[Backend.VIEW]
