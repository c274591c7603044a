"""The closed lines between services on this machine: Kafka's accounts, keys of lease tokens, and those of commands to runners."""

import base64
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kaon_local.secure.files import private_text, write_once, write_private
from kaon_local.secure.kafka_accounts import KafkaAccounts
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW, runner
from kaon_wire.topics import Catalogue


@dataclass(frozen=True)
class Lines:
    """What each service is told of its lines. Files are made once, and kept as long as the directory is.

    Args:
        directory: Where they lie; nobody else can read them.
        catalogue: The deployment's topics.
        brokers: Names of brokers, beside this machine's.
        inside: Where brokers find their files, if they see them elsewhere: in containers.
    """

    directory: Path
    catalogue: Catalogue
    brokers: tuple[str, ...] = ()
    inside: Path | None = None

    @cached_property
    def kafka(self) -> KafkaAccounts:
        """The broker's accounts."""
        return KafkaAccounts(
            directory=self.directory / "kafka",
            catalogue=self.catalogue,
            names=self.brokers,
            inside=self.inside,
        )

    def make(self) -> None:
        """Make the files that are missing."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_once(self._lease_keys, _new_key)
        for pool in self.catalogue.pools:
            write_once(self.pool_key(pool), _new_key)
        lines = (f"{pool} {self.pool_key(pool).read_text()}" for pool in self.catalogue.pools)
        write_private(self._pool_keys, "".join(lines))
        if not self._public_key.exists():
            self._make_command_keys()

    def variables(self, service: str) -> dict[str, str]:
        """What a service is told: "coordinator", "view", "publisher" or "runner-<pool>"."""
        known = {
            COORDINATOR: {
                "KAON_LEASE_KEYS": str(self._lease_keys),
                "KAON_COMMAND_KEY": str(self._private_key),
                "KAON_POOL_KEYS": str(self._pool_keys),
            },
            PUBLISHER: {"KAON_LEASE_KEYS": str(self._lease_keys)},
            VIEW: {},
            **{
                runner(pool): {
                    "KAON_COMMAND_PUBLIC_KEYS": str(self._public_key),
                    "KAON_POOL_KEY": str(self.pool_key(pool)),
                }
                for pool in self.catalogue.pools
            },
        }
        return self.kafka.variables(service) | known[service]

    def pool_key(self, pool: str) -> Path:
        """Return the file with the key of a pool, for its runners."""
        return self.directory / f"pool-key-{pool}"

    @property
    def _pool_keys(self) -> Path:
        return self.directory / "pool-keys"

    @property
    def _lease_keys(self) -> Path:
        return self.directory / "lease-keys"

    @property
    def _private_key(self) -> Path:
        return self.directory / "command.pem"

    @property
    def _public_key(self) -> Path:
        return self.directory / "command-public.pem"

    def _make_command_keys(self) -> None:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        write_private(self._private_key, private_text(key))
        # The last one: what is there is whole.
        write_private(self._public_key, public.decode())


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode() + "\n"
