"""Channels to Kaon's services: encrypted or not, with or without a certificate of the client."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from kaon_wire.addresses import is_loopback
from kaon_wire.errors import InvalidValue

# How every client connects: soon again when the service is back, however long it was away.
_CONNECTING = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # In spite of its name, for how long an attempt may take, with handshakes and all, before it is given up: a server that is far
    # away, or on a machine under load, needs more than a moment. One that refuses is not waited for.
    ("grpc.min_reconnect_backoff_ms", 5000),
)
# Addresses of systems in this process, and whether they have ended.
_HERE: dict[str, Callable[[], bool]] = {}


@contextmanager
def in_this_process(address: str, *, has_ended: Callable[[], bool]) -> Iterator[None]:
    """Make no channel to an address encrypted, whatever the environment says: nothing leaves the process.

    Args:
        address: host:port of a service in this process.
        has_ended: tells whether it has ended by itself, so that nobody waits for it.
    """
    _HERE[address] = has_ended
    try:
        yield
    finally:
        del _HERE[address]


def has_ended_here(address: str) -> bool:
    """Tell whether an address is that of a service in this process that has ended: no call to it succeeds again."""
    has_ended = _HERE.get(address)
    return has_ended is not None and has_ended()


@dataclass(frozen=True, kw_only=True)
class ChannelSecurity:
    """How a client calls. Each field's variable is named beside it."""

    # KAON_TLS: on or off; unset: on when KAON_TLS_CA or KAON_TLS_CERT is set.
    tls: bool = False
    # KAON_TLS=off was said: tokens go over lines that nothing encrypts, also to other machines.
    trusts_network: bool = False
    # KAON_TLS_CA: file with the authorities that servers are checked with (PEM); None: the usual public ones.
    ca: Path | None = None
    # KAON_TLS_CERT, KAON_TLS_KEY: the client's certificate and its private key (PEM).
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ChannelSecurity:
        """Read the settings from the environment.

        Raises:
            InvalidValue: A variable has an invalid value; the message names it.
        """
        told = environment.get("KAON_TLS", "")
        if told not in {"", "on", "off"}:
            raise InvalidValue(f"KAON_TLS: {told!r} is neither 'on' nor 'off'")
        ca, certificate, key = (
            Path(text).absolute() if (text := environment.get(name, "")) else None
            for name in ("KAON_TLS_CA", "KAON_TLS_CERT", "KAON_TLS_KEY")
        )
        if (certificate is None) != (key is None):
            missing = "KAON_TLS_KEY" if key is None else "KAON_TLS_CERT"
            raise InvalidValue(f"{missing}: a certificate and its key are set together")
        tls = told == "on" or (not told and (ca is not None or certificate is not None))
        return cls(tls=tls, trusts_network=told == "off", ca=ca, certificate=certificate, key=key)

    def check_token(self, address: str) -> None:
        """Check that a token may be shown to a service.

        Raises:
            InvalidValue: It would go to another machine, and nothing would encrypt it.
        """
        if not (self.tls or self.trusts_network or is_loopback(address)):
            raise InvalidValue(
                f"a token would go to {address} over a line that nothing encrypts: set KAON_TLS_CA to the file of its "
                "certificate's authority, or KAON_TLS=on; or KAON_TLS=off where nobody else reads the network"
            )

    def open(self, address: str, options: Sequence[tuple[str, Any]] = ()) -> grpc.Channel:
        """Make a channel; it connects with the first call.

        Raises:
            InvalidValue: A file cannot be read.
        """
        if not self.tls or address in _HERE:
            return grpc.insecure_channel(address, options=(*_CONNECTING, *options))
        return grpc.secure_channel(address, self._credentials(), options=(*_CONNECTING, *options))

    def open_async(self, address: str, options: Sequence[tuple[str, Any]] = ()) -> aio.Channel:
        """Make a channel of the running event loop; it connects with the first call.

        Raises:
            InvalidValue: A file cannot be read.
        """
        if not self.tls or address in _HERE:
            return aio.insecure_channel(address, options=(*_CONNECTING, *options))
        return aio.secure_channel(address, self._credentials(), options=(*_CONNECTING, *options))

    def _credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            root_certificates=_content("KAON_TLS_CA", self.ca),
            private_key=_content("KAON_TLS_KEY", self.key),
            certificate_chain=_content("KAON_TLS_CERT", self.certificate),
        )


def _content(variable: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidValue(f"{variable}: {path} cannot be read: {error}") from error
