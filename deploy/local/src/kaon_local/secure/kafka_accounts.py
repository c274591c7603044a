"""The accounts of a closed broker on this machine: certificates, passwords and rights."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from kaon_local.ports import HOST, free_port
from kaon_local.secure.files import private_text, write_private
from kaon_service.kafka_security import SCRAM
from kaon_wire.topic_rights import (
    CONSUMER,
    COORDINATOR,
    PUBLISHER,
    VIEW,
    Right,
    rights_of,
    runner,
)
from kaon_wire.topics import Catalogue

# May do everything; the broker talks to itself by it, too.
ADMINISTRATOR = "administrator"
_BROKER = "broker"
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


def user_of(account: str) -> str:
    """How the broker calls an account."""
    return f"kaon-{account}"


@dataclass(frozen=True, kw_only=True)
class KafkaAccounts:
    """Who may use one broker. Files are made once, and kept as long as the directory is.

    Args:
        directory: Where certificates and passwords lie; nobody else can read them.
        catalogue: The deployment's topics.
        certificate_port: Where the broker takes certificates instead of passwords.
        names: Names of brokers, beside this machine's, that their certificate is for.
        inside: Where a broker finds the directory, if it sees it elsewhere: in a container.
    """

    directory: Path
    catalogue: Catalogue
    certificate_port: int = field(default_factory=free_port)
    names: tuple[str, ...] = ()
    inside: Path | None = None

    @property
    def accounts(self) -> tuple[str, ...]:
        """All accounts."""
        runners = tuple(map(runner, self.catalogue.pools))
        return (ADMINISTRATOR, COORDINATOR, VIEW, PUBLISHER, CONSUMER, *runners)

    @property
    def rights(self) -> tuple[Right, ...]:
        """What the accounts may do, beside the administrator."""
        return rights_of(self.catalogue)

    def variables(self, account: str) -> dict[str, str]:
        """What a client is told to connect as an account with a password."""
        return {
            "KAON_KAFKA_SECURITY": "SASL_SSL",
            "KAON_KAFKA_CA": str(self.directory / "ca.pem"),
            "KAON_KAFKA_USER": user_of(account),
            "KAON_KAFKA_PASSWORD_FILE": str(self._password_file(account)),
        }

    def certificate_variables(self, account: str) -> dict[str, str]:
        """What a client is told to connect as an account with a certificate, at the broker's other listener."""
        return {
            "KAON_KAFKA_SECURITY": "SSL",
            "KAON_KAFKA_CA": str(self.directory / "ca.pem"),
            "KAON_KAFKA_CERT": str(self.directory / f"{account}.pem"),
            "KAON_KAFKA_KEY": str(self.directory / f"{account}.pem"),
        }

    def make(self) -> None:
        """Make the files that are missing."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for account in self.accounts:
            if not self._password_file(account).exists():
                write_private(self._password_file(account), secrets.token_urlsafe(24))
        if not (self.directory / "ca.pem").exists():
            self._make_certificates()

    def settings(self) -> dict[str, str]:
        """The broker's settings."""
        place = self.inside or self.directory
        login = (
            f'{_LOGIN} required username="{user_of(ADMINISTRATOR)}" '
            f'password="{self._password(ADMINISTRATOR)}";'
        )
        return {
            "listener.security.protocol.map": "PLAINTEXT:SASL_SSL,PROXIED:SASL_SSL,CERTIFICATES:SSL,CONTROLLER:SSL",
            "sasl.enabled.mechanisms": SCRAM,
            "sasl.mechanism.inter.broker.protocol": SCRAM,
            f"listener.name.plaintext.{SCRAM.lower()}.sasl.jaas.config": login,
            f"listener.name.proxied.{SCRAM.lower()}.sasl.jaas.config": login,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(place / f"{_BROKER}.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(place / "ca.pem"),
            # The broker's JVM has its first compiler only, which does not know the processor's instructions for AES: this one costs
            # it a quarter of that, where no native library does it (native_ciphers.py).
            "ssl.cipher.suites": "TLS_CHACHA20_POLY1305_SHA256",
            "ssl.client.auth": "none",
            "listener.name.certificates.ssl.client.auth": "required",
            # The controller takes the broker's certificate only.
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{user_of(ADMINISTRATOR)};User:{user_of(_BROKER)}",
            "allow.everyone.if.no.acl.found": "false",
        }

    def format_arguments(self) -> list[str]:
        """Arguments of Kafka's storage tool: a broker without passwords lets nobody make any."""
        return [
            argument
            for account in self.accounts
            for argument in (
                "--add-scram",
                f"{SCRAM}=[name={user_of(account)},password={self._password(account)}]",
            )
        ]

    def _make_certificates(self) -> None:
        authority = trustme.CA(organization_name="Kaon on this machine")
        for account in (_BROKER, *self.accounts):
            names = self.names if account == _BROKER else ()
            made = authority.issue_cert(HOST, "localhost", *names, common_name=user_of(account))
            write_private(self.directory / f"{account}.pem", _with_key(made))
        # The last one: what is there is whole.
        write_private(self.directory / "ca.pem", authority.cert_pem.bytes().decode())

    def _password_file(self, account: str) -> Path:
        return self.directory / f"{account}.password"

    def _password(self, account: str) -> str:
        return self._password_file(account).read_text()


def _with_key(made: trustme.LeafCert) -> str:
    """A certificate with its chain and its key in the only form that Kafka reads."""
    key = serialization.load_pem_private_key(made.private_key_pem.bytes(), None)
    chain = "".join(each.bytes().decode() for each in made.cert_chain_pems)
    return private_text(key) + chain
