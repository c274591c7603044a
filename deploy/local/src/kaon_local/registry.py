"""A real image registry (Docker's distribution)."""

from dataclasses import dataclass, field
from pathlib import Path

import trustme

from kaon_local.errors import NotReady
from kaon_local.ports import HOST, free_port, listening
from kaon_local.probes import http_ok
from kaon_local.process import Command
from kaon_local.secure.files import write_private
from kaon_local.secure.passwords import password_line
from kaon_local.server import Server


@dataclass(frozen=True, kw_only=True)
class RegistryConfig:
    """One registry. The port is chosen once, so a restarted registry is where it was."""

    # Directory for images, configuration and the log; kept over restarts.
    state: Path
    port: int = field(default_factory=free_port)
    # The only account, over TLS; None: everybody may push, without TLS.
    account: tuple[str, str] | None = None


class Registry(Server):
    """Healthy when its API answers. Docker engines take 127.0.0.1 as a registry without TLS."""

    def __init__(
        self, config: RegistryConfig, *, name: str = "registry", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log)
        self.config = config

    @property
    def address(self) -> str:
        """host:port, as it stands in image names."""
        return f"{HOST}:{self.config.port}"

    def endpoints(self) -> dict[str, str]:
        return {"KAON_REGISTRY": self.address}

    @property
    def ca(self) -> Path:
        """The authority of its certificate."""
        return self.state / "ca.pem"

    def _prepare(self) -> None:
        certificate = self.state / "server.pem"
        tls = f", tls: {{certificate: '{certificate}', key: '{certificate}'}}"
        passwords = self.state / "passwords"
        closed = self.config.account is not None
        if self.config.account is not None:
            self._make_certificate(certificate)
            write_private(passwords, password_line(*self.config.account))
        (self.state / "registry.yml").write_text(
            "version: 0.1\n"
            "log: {level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: '{self.state / 'images'}'}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'{tls if closed else ''}}}\n"
            + (f"auth: {{htpasswd: {{realm: kaon, path: '{passwords}'}}}}\n" if closed else "")
        )

    def _make_certificate(self, path: Path) -> None:
        if self.ca.exists():
            return
        authority = trustme.CA()
        server = authority.issue_cert(HOST)
        write_private(path, server.private_key_and_cert_chain_pem.bytes().decode())
        authority.cert_pem.write_to_path(self.ca)

    def _command(self) -> Command:
        return Command(
            argv=("docker-registry", "serve", str(self.state / "registry.yml")), cwd=self.state
        )

    def _probe(self) -> None:
        if self.config.account is None:
            http_ok(f"http://{self.address}/v2/")
        elif not listening(self.config.port):
            raise NotReady(f"nothing listens at {self.address}")
