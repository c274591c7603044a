"""What stands before HiveServer2 and Spark Connect of a closed system: TLS, and a token for each tenant."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trustme

from kaon_local.errors import NotReady
from kaon_local.paths import ROOT
from kaon_local.ports import HOST, free_port, listening
from kaon_local.process import Command
from kaon_local.secure.files import write_once, write_private
from kaon_local.server import Server
from kaon_local.spark import SparkConfig

SETTINGS = ROOT / "deploy" / "images" / "engines.cfg"


@dataclass(frozen=True, kw_only=True)
class EngineFiles:
    """Files of the gateway and its clients in one directory: made once, and kept as long as the directory is.

    Args:
        directory: Where they lie; nobody else can read them.
        tenants: Who has a token.
        names: Names by which the gateway is called.
    """

    directory: Path
    tenants: tuple[str, ...]
    names: tuple[str, ...] = (HOST, "localhost")

    @property
    def ca(self) -> Path:
        """The authority of the gateway's certificate."""
        return self.directory / "ca.pem"

    @property
    def certificate(self) -> Path:
        """The gateway's certificate and key."""
        return self.directory / "server.pem"

    @property
    def tokens(self) -> Path:
        """The tokens, for runners."""
        return self.directory / "tokens"

    @property
    def hashes(self) -> Path:
        """What the gateway knows of the tokens."""
        return self.directory / "hashes"

    def make(self) -> None:
        """Make what is missing."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.ca.exists():
            self._make_certificate()
        write_once(self.tokens, partial(_new_tokens, self.tenants))
        lines = [line.split() for line in self.tokens.read_text().splitlines()]
        write_private(self.hashes, "".join(f"{hashed(token)} {name}\n" for name, token in lines))

    def runner(self) -> dict[str, str]:
        """What runners are told."""
        return {"KAON_ENGINES_CA": str(self.ca), "KAON_ENGINES_TOKENS": str(self.tokens)}

    def _make_certificate(self) -> None:
        authority = trustme.CA(organization_name="Kaon on this machine")
        issued = authority.issue_cert(*self.names)
        write_private(self.certificate, issued.private_key_and_cert_chain_pem.bytes().decode())
        # The last one: what is there is whole.
        write_private(self.ca, authority.cert_pem.bytes().decode())


@dataclass(frozen=True, kw_only=True)
class EnginesConfig:
    """One gateway. The ports are chosen once, so a restarted one is where it was."""

    # A directory for its log.
    state: Path
    files: EngineFiles
    # The server behind it, which speaks HiveServer2's protocol over HTTP.
    spark: SparkConfig
    hive_port: int = field(default_factory=free_port)
    connect_port: int = field(default_factory=free_port)


class EnginesGateway(Server):
    """Healthy when it listens."""

    def __init__(self, config: EnginesConfig, *, name: str = "engines-gateway") -> None:
        super().__init__(name=name, state=config.state)
        self.config = config

    def endpoints(self) -> Mapping[str, str]:
        return {
            "KAON_HIVE": f"https://{HOST}:{self.config.hive_port}/cliservice",
            "KAON_SPARK_CONNECT": f"sc://{HOST}:{self.config.connect_port}/;use_ssl=true",
        }

    def _prepare(self) -> None:
        self.config.files.make()

    def _command(self) -> Command:
        config = self.config
        env = {
            "ENGINES_HIVE": f"{HOST}:{config.hive_port}",
            "ENGINES_SPARK": f"{HOST}:{config.connect_port}",
            "ENGINES_HIVE_SERVER": f"{HOST}:{config.spark.hive_port}",
            "ENGINES_SPARK_SERVER": f"{HOST}:{config.spark.connect_port}",
            "ENGINES_CERT": str(config.files.certificate.absolute()),
            "ENGINES_TOKENS": str(config.files.hashes.absolute()),
        }
        return Command(argv=("haproxy", "-db", "-f", str(SETTINGS)), env=env)

    def _probe(self) -> None:
        for port in (self.config.hive_port, self.config.connect_port):
            if not listening(port):
                raise NotReady(f"nothing listens at {HOST}:{port}")


def hashed(token: str) -> str:
    """Return a token as the gateway looks for it."""
    return hashlib.sha256(token.encode()).hexdigest().upper()


def _new_tokens(tenants: tuple[str, ...]) -> str:
    return "".join(f"{tenant} {secrets.token_urlsafe(32)}\n" for tenant in tenants)
