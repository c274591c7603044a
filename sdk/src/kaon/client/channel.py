"""Where the services are and who calls them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from kaon_wire.channels import ChannelSecurity

DEFAULT_SERVER = "127.0.0.1:7070"
DEFAULT_PUBLISHER = "127.0.0.1:7071"
# Definitions and histories may be large; the server has limits of its own.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Addresses and principal of one client."""

    # host:port of the coordinator.
    server: str = DEFAULT_SERVER
    # host:port of the model publisher.
    publisher: str = DEFAULT_PUBLISHER
    # Empty means the service's default.
    tenant: str = ""
    principal: str = ""
    # What the principal may answer for, as approvals name it.
    roles: tuple[str, ...] = ()
    # W3C trace context of what the client does: runs that it submits become part of that trace.
    trace_parent: str = ""
    # How the services are reached.
    security: ChannelSecurity = field(default_factory=ChannelSecurity)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Endpoints:
        """Read the endpoints from the environment.

        The variables are KAON_SERVER, KAON_PUBLISHER, KAON_TENANT, KAON_PRINCIPAL, KAON_ROLES (separated by commas),
        TRACEPARENT, and KAON_TLS, KAON_TLS_CA, KAON_TLS_CERT and KAON_TLS_KEY.

        Raises:
            InvalidValue: A variable has an invalid value; the message names it.
        """
        return cls(
            server=environment.get("KAON_SERVER") or DEFAULT_SERVER,
            publisher=environment.get("KAON_PUBLISHER") or DEFAULT_PUBLISHER,
            tenant=environment.get("KAON_TENANT", ""),
            principal=environment.get("KAON_PRINCIPAL", ""),
            roles=tuple(
                role.strip()
                for role in environment.get("KAON_ROLES", "").split(",")
                if role.strip()
            ),
            trace_parent=environment.get("TRACEPARENT", ""),
            security=ChannelSecurity.from_environment(environment),
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        named = (
            ("kaon-tenant", self.tenant),
            ("kaon-principal", self.principal),
            ("kaon-roles", ",".join(self.roles)),
            ("traceparent", self.trace_parent),
        )
        return tuple((key, value) for key, value in named if value)


def connect(address: str, security: ChannelSecurity) -> grpc.Channel:
    """Make a channel; it connects with the first call.

    Raises:
        InvalidValue: A file of certificates cannot be read.
    """
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # Notices a peer that is gone without a word; servers take more than one ping in five minutes for abuse.
        ("grpc.keepalive_time_ms", 330_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A server on this machine is not behind a proxy.
        ("grpc.enable_http_proxy", 0),
    ]
    return security.open(address, options)
