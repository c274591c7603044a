"""Channels to the services. Requests and answers pass as bytes, for nobody here looks into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grpc import aio

from kaon_console.methods import Backend, Method
from kaon_console.settings import Settings

# Definitions and histories may be large; the services have limits of their own.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
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

    def __init__(self, settings: Settings) -> None:
        self._addresses: Mapping[Backend, str] = {
            Backend.COORDINATOR: settings.server,
            Backend.VIEW: settings.view or settings.server,
            Backend.PUBLISHER: settings.publisher,
        }
        places = {(address, streams) for address in self._addresses.values() for streams in (False, True)}
        self._channels = {place: aio.insecure_channel(place[0], options=_OPTIONS) for place in sorted(places)}

    def target(self, method: Method) -> Target:
        """Return the service of a method."""
        address = self._addresses[method.backend]
        return Target(
            service=method.backend.value, address=address, channel=self._channels[address, method.streams]
        )

    async def close(self) -> None:
        """Cancel running calls, and close the channels."""
        for channel in self._channels.values():
            await channel.close(grace=None)
