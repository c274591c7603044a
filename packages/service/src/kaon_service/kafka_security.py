"""How services and runners connect to Kafka: one set of variables for every client library."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from kaon_wire.errors import InvalidValue
from kaon_wire.key_files import read_password

SCRAM = "SCRAM-SHA-512"
_SECURITY = "KAON_KAFKA_SECURITY"
_CA = "KAON_KAFKA_CA"
_USER = "KAON_KAFKA_USER"
_PASSWORD_FILE = "KAON_KAFKA_PASSWORD_FILE"
_CERT = "KAON_KAFKA_CERT"
_KEY = "KAON_KAFKA_KEY"


class Protocol(StrEnum):
    """How a client talks to a broker, as Kafka names it."""

    # Neither encrypted nor authenticated.
    PLAINTEXT = "PLAINTEXT"
    # TLS, and a password by SCRAM-SHA-512, which the broker never sees.
    SASL_SSL = "SASL_SSL"
    # TLS with a certificate of the client.
    SSL = "SSL"


@dataclass(frozen=True, kw_only=True)
class KafkaSecurity:
    """The security of connections to Kafka. Each field's variable is named beside it."""

    # KAON_KAFKA_SECURITY.
    protocol: Protocol = Protocol.PLAINTEXT
    # KAON_KAFKA_CA: a PEM file with the authorities that brokers' certificates are checked by; empty: the system's.
    ca: str = ""
    # KAON_KAFKA_USER: the account of SASL_SSL.
    user: str = ""
    # KAON_KAFKA_PASSWORD_FILE: a file with its password.
    password: str = field(default="", repr=False)
    # KAON_KAFKA_CERT and KAON_KAFKA_KEY: PEM files of the client's certificate for SSL.
    cert: str = ""
    key: str = ""

    @property
    def is_closed(self) -> bool:
        """Return whether lines to the brokers are encrypted, and clients known."""
        return self.protocol is not Protocol.PLAINTEXT

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> KafkaSecurity:
        """Read the variables.

        Raises:
            InvalidValue: A variable is malformed, missing or contradicts the protocol, or a file cannot be used.
        """
        text = environment.get(_SECURITY) or Protocol.PLAINTEXT
        if text not in list(Protocol):
            known = ", ".join(Protocol)
            raise InvalidValue(f"{_SECURITY}: {text!r} is none of {known}")
        file = environment.get(_PASSWORD_FILE, "")
        given = {name: environment.get(name, "") for name in _NEEDED[Protocol(text)] | _ALLOWED}
        if missing := sorted(name for name in _NEEDED[Protocol(text)] if not given[name]):
            raise InvalidValue(f"{_SECURITY}={text} needs {' and '.join(missing)}")
        if surplus := sorted(name for name in _surplus(Protocol(text)) if environment.get(name)):
            raise InvalidValue(f"{surplus[0]} has no meaning with {_SECURITY}={text}")
        security = cls(
            protocol=Protocol(text),
            ca=environment.get(_CA, ""),
            user=environment.get(_USER, ""),
            password=read_password(file, _PASSWORD_FILE) if file else "",
            cert=environment.get(_CERT, ""),
            key=environment.get(_KEY, ""),
        )
        # Now, not at the first connection.
        _ = security.context
        return security

    @cached_property
    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context of clients; None without TLS. It checks the broker's certificate and its name.

        Raises:
            InvalidValue: A file is missing, or holds no certificate or key.
        """
        if self.protocol is Protocol.PLAINTEXT:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
        except OSError as error:
            raise InvalidValue(f"{_CA}: {self.ca} cannot be used: {error}") from None
        if self.protocol is Protocol.SSL:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as error:
                raise InvalidValue(
                    f"{_CERT}, {_KEY}: {self.cert} and {self.key} cannot be used: {error}"
                ) from None
        return context

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments of any client of aiokafka and of kafka-python."""
        match self.protocol:
            case Protocol.PLAINTEXT:
                return {}
            case Protocol.SSL:
                return {"security_protocol": "SSL", "ssl_context": self.context}
        return {
            "security_protocol": "SASL_SSL",
            "ssl_context": self.context,
            "sasl_mechanism": SCRAM,
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
        }

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of any client of librdkafka."""
        if self.protocol is Protocol.PLAINTEXT:
            return {}
        named = {
            "security.protocol": self.protocol.value,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.cert,
            "ssl.key.location": self.key,
        }
        if self.protocol is Protocol.SASL_SSL:
            named |= {
                "sasl.mechanisms": SCRAM,
                "sasl.username": self.user,
                "sasl.password": self.password,
            }
        return {name: value for name, value in named.items() if value}


_NEEDED: Mapping[Protocol, frozenset[str]] = {
    Protocol.PLAINTEXT: frozenset(),
    Protocol.SASL_SSL: frozenset({_USER, _PASSWORD_FILE}),
    Protocol.SSL: frozenset({_CERT, _KEY}),
}
_ALLOWED = frozenset({_CA})


def _surplus(protocol: Protocol) -> frozenset[str]:
    """Return the variables that only other protocols know: whoever sets them expects more than he gets."""
    known = _NEEDED[protocol] | (frozenset() if protocol is Protocol.PLAINTEXT else _ALLOWED)
    return frozenset().union(_ALLOWED, *_NEEDED.values()) - known


# Without TLS, and without an account.
OPEN = KafkaSecurity()
