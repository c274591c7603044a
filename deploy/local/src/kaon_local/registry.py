"""A real image registry (Docker's distribution)."""

from dataclasses import dataclass, field
from pathlib import Path

from kaon_local.ports import HOST, free_port
from kaon_local.probes import http_ok
from kaon_local.process import Command
from kaon_local.server import Server


@dataclass(frozen=True, kw_only=True)
class RegistryConfig:
    """One registry without authentication. The port is chosen once, so a restarted registry is where it was."""

    # Directory for images, configuration and the log; kept over restarts.
    state: Path
    port: int = field(default_factory=free_port)


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

    def _prepare(self) -> None:
        (self.state / "registry.yml").write_text(
            "version: 0.1\n"
            "log: {level: warn}\n"
            f"storage: {{filesystem: {{rootdirectory: '{self.state / 'images'}'}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )

    def _command(self) -> Command:
        return Command(
            argv=("docker-registry", "serve", str(self.state / "registry.yml")), cwd=self.state
        )

    def _probe(self) -> None:
        http_ok(f"http://{self.address}/v2/")
