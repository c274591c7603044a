"""What each container of a closed system is given: a directory of its own, with the keys that it needs and no other."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import trustme

from kaon_local.secure.engines import EngineFiles
from kaon_local.secure.files import Files, write_once, write_private
from kaon_local.secure.kafka_accounts import ADMINISTRATOR
from kaon_local.secure.lines import Lines
from kaon_local.secure.passwords import password_line
from kaon_local.secure.people import TENANTS
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW, runner
from kaon_wire.topics import Catalogue

# Where a container finds its own.
INSIDE = Path("/etc/kaon/access")
ISSUER = "issuer"
# The owner of the databases, who alone migrates them, and a role for each service.
OWNER = "kaon_owner"
_ROLES = (OWNER, "kaon_coordinator", "kaon_view", "kaon_publisher")
_DATABASES = ("kaon", "models")
_BROKERS = ("kafka", "kafka-2", "kafka-3")
_SERVED = ("coordinator", "gateway", "model-publisher", "view", "console", ISSUER)
# The registry's accounts: who pushes, and who pulls. Each has a server of its own.
_PUSHER, _PULLER = "publisher", "consumer"
# Users of the images: of all, of the broker's, and the group by which PostgreSQL reads, whose user has many numbers.
_USER, _BROKER_USER = 10001, 1000
_TLS = ("ca.pem", "server.pem", "server.key")
_COORDINATOR = ("lease-keys", "audit.key", "pool-keys")
_SERVICE = (*_TLS, "service-keys", "auth.toml")


@dataclass(frozen=True, kw_only=True)
class ContainerFiles:
    """The files of a closed system in containers, made once and kept as long as the directory is.

    Args:
        directory: Where they lie: what is made, in `access`, and what containers see of it, in `containers`.
        catalogue: The deployment's topics.
        issuer_port: Where the issuer listens.
    """

    directory: Path
    catalogue: Catalogue
    issuer_port: int

    @property
    def containers(self) -> Path:
        """What is given to containers: a directory for each, by the names in docker-compose.yml."""
        return self.directory / "containers"

    @cached_property
    def files(self) -> Files:
        """Certificates and keys of the services, and the issuer's settings."""
        return Files(
            directory=self._access,
            issuer_port=self.issuer_port,
            names=_SERVED,
            inside=INSIDE,
            issuer_host=ISSUER,
        )

    @cached_property
    def lines(self) -> Lines:
        """The broker's accounts, and keys of leases and commands."""
        return Lines(self._access, self.catalogue, brokers=_BROKERS, inside=INSIDE)

    @cached_property
    def engines(self) -> EngineFiles:
        """What the gateway before the SQL server knows, and runners of it."""
        return EngineFiles(
            directory=self._access / "engines", tenants=TENANTS, names=("sql-gateway", "127.0.0.1")
        )

    def make(self) -> None:
        """Make what is missing, and give each container its own.

        Raises:
            PermissionError: Only root may give them to the users of the images.
        """
        self.files.make()
        self.lines.make()
        self.lines.kafka.make()
        self._make_broker()
        self._make_postgres()
        self._make_registry()
        self.engines.make()
        for name, given in self._given().items():
            self._give(name, given)

    def _given(self) -> Mapping[str, Mapping[str, Path]]:
        """Return the files of each container, by the names that they have there."""
        access, kafka, engines = self._access, self._access / "kafka", self.engines
        named = {each: access / each for each in (*_SERVICE, *_COORDINATOR)}
        commands = {each: access / each for each in ("command.pem", "command-public.pem")}
        service = {each: named[each] for each in _SERVICE}
        return {
            "kafka": {each.name: each for each in (kafka / "ca.pem", *self._broker_files)},
            "postgres": {
                "server.pem": self._postgres / "server.pem",
                "server.key": self._postgres / "server.key",
                "roles.sql": self._postgres / "roles.sql",
            },
            "registry": self._registry_server(_PULLER),
            "registry-push": self._registry_server(_PUSHER),
            "sql-gateway": {each.name: each for each in (engines.certificate, engines.hashes)},
            ISSUER: {each: named[each] for each in _TLS} | {"issuer.toml": access / "issuer.toml"},
            "topics": self._kafka(ADMINISTRATOR),
            "database": self._database(OWNER),
            "coordinator": service
            | {each: named[each] for each in _COORDINATOR}
            | {"command.pem": commands["command.pem"]}
            | self._kafka(COORDINATOR)
            | self._database("kaon_coordinator"),
            "view": service | self._kafka(VIEW) | self._database("kaon_view"),
            "console": service,
            "model-publisher": service
            | {each: named[each] for each in ("lease-keys", "audit.key")}
            | self._kafka(PUBLISHER)
            | self._database("kaon_publisher")
            | self._registry_client(_PUSHER),
            "step-runner": {
                "ca.pem": named["ca.pem"],
                "command-public.pem": commands["command-public.pem"],
                "pool-key": self.lines.pool_key("default"),
                "engines-ca.pem": engines.ca,
                "engine-tokens": engines.tokens,
            }
            | self._kafka(runner("default")),
            "consumer": {"ca.pem": named["ca.pem"]} | self._registry_client(_PULLER),
        }

    def _kafka(self, account: str) -> dict[str, Path]:
        place = self._access / "kafka"
        return {"kafka-ca.pem": place / "ca.pem", "kafka.password": place / f"{account}.password"}

    def _database(self, role: str) -> dict[str, Path]:
        return {
            "postgres-ca.pem": self._postgres / "ca.pem",
            "pgpass": self._postgres / f"{role}.pgpass",
        }

    def _registry_client(self, account: str) -> dict[str, Path]:
        return {
            "registry-ca.pem": self._registry / "ca.pem",
            "registry.password": self._registry / f"{account}.password",
        }

    def _registry_server(self, account: str) -> dict[str, Path]:
        return {
            "server.pem": self._registry / "server.pem",
            "server.key": self._registry / "server.key",
            "htpasswd": self._registry / f"{account}.htpasswd",
        }

    def _give(self, container: str, given: Mapping[str, Path]) -> None:
        """Lay a container's files into its directory, for its user alone; what is not given any more goes."""
        place = self.containers / container
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for surplus in set(os.listdir(place)) - given.keys():
            (place / surplus).unlink()
        user = _BROKER_USER if container == "kafka" else _USER
        by_group = container == "postgres"
        for name, source in given.items():
            text = source.read_text(encoding="utf-8")
            if not (place / name).exists() or (place / name).read_text(encoding="utf-8") != text:
                write_private(place / name, text)
            os.chown(place / name, 0 if by_group else user, user)
            (place / name).chmod(0o640 if by_group else 0o600)
        os.chown(place, user, user)
        place.chmod(0o750 if by_group else 0o700)

    def _make_broker(self) -> None:
        settings, arguments = self._broker_files[1:]
        lines = (f"{name}={value}\n" for name, value in self.lines.kafka.settings().items())
        write_private(settings, "".join(lines))
        write_private(
            arguments, "".join(f"{each}\n" for each in self.lines.kafka.format_arguments())
        )

    @property
    def _broker_files(self) -> tuple[Path, Path, Path]:
        names = ("broker.pem", "broker.properties", "format-arguments")
        first, second, third = (self._access / "kafka" / name for name in names)
        return first, second, third

    def _make_postgres(self) -> None:
        self._certificate(self._postgres, "postgres")
        for role in _ROLES:
            file = self._postgres / f"{role}.pgpass"
            write_once(file, partial(_pgpass, role))
        statements = [*map(self._role, _ROLES)]
        statements += [f"ALTER DATABASE {name} OWNER TO {OWNER};" for name in _DATABASES]
        write_private(self._postgres / "roles.sql", "".join(f"{each}\n" for each in statements))

    def _role(self, name: str) -> str:
        """Return a statement, in one line, that makes a role or gives it its password of now."""
        password = (self._postgres / f"{name}.pgpass").read_text().strip().rpartition(":")[2]
        role = f"ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}'"
        known = f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}')"
        return f"DO $$ BEGIN IF {known} THEN ALTER {role}; ELSE CREATE {role}; END IF; END $$;"

    def _make_registry(self) -> None:
        self._certificate(self._registry, "registry", "registry-push")
        for account in (_PUSHER, _PULLER):
            password = self._registry / f"{account}.password"
            write_once(password, _password)
            write_once(
                self._registry / f"{account}.htpasswd",
                partial(password_line, account, password.read_text()),
            )

    def _certificate(self, place: Path, *names: str) -> None:
        """Make the certificate of a server, with an authority of its own."""
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (place / "ca.pem").exists():
            return
        authority = trustme.CA(organization_name="Kaon on this machine")
        server = authority.issue_cert(*names, "127.0.0.1", "localhost")
        chain = b"".join(each.bytes() for each in server.cert_chain_pems)
        write_private(place / "server.pem", chain.decode())
        write_private(place / "server.key", server.private_key_pem.bytes().decode())
        # The last one: what is there is whole.
        write_private(place / "ca.pem", authority.cert_pem.bytes().decode())

    @property
    def _access(self) -> Path:
        return self.directory / "access"

    @property
    def _postgres(self) -> Path:
        return self._access / "postgres"

    @property
    def _registry(self) -> Path:
        return self._access / "registry"


def _pgpass(role: str) -> str:
    """Return a line of libpq's file of passwords, with a new one."""
    return f"*:*:*:{role}:{_password()}\n"


def _password() -> str:
    return secrets.token_urlsafe(24)
