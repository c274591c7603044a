"""Our own services as components: a Python module, its environment and a health check."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaon_local.process import Command
from kaon_local.server import Server


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """One process of a service."""

    name: str
    # A directory of its own, made before the start.
    state: Path
    # Run as `python -m <module> <arguments>` by the interpreter that runs us.
    module: str
    # Raises NotReady or OSError until the service does its work; `kaon_local.probes` has some.
    probe: Callable[[], None]
    arguments: tuple[str, ...] = ()
    # Added to our own environment.
    env: Mapping[str, str] = field(default_factory=dict)
    # What others need to find it, as environment variables.
    endpoints: Mapping[str, str] = field(default_factory=dict)
    # How long it may take to become healthy, and to end after SIGTERM.
    start_seconds: float = 60.0
    stop_seconds: float = 10.0


class Service(Server):
    """Healthy when its probe says so."""

    def __init__(self, config: ServiceConfig, *, log: Path | None = None) -> None:
        super().__init__(
            name=config.name, state=config.state, log=log, start_seconds=config.start_seconds
        )
        self.config = config

    def endpoints(self) -> Mapping[str, str]:
        return self.config.endpoints

    def _prepare(self) -> None:
        """A service makes what it needs in its state directory itself."""

    def _command(self) -> Command:
        return Command(
            argv=(sys.executable, "-m", self.config.module, *self.config.arguments),
            env={"PYTHONUNBUFFERED": "1", **self.config.env},
            cwd=self.state,
            stop_seconds=self.config.stop_seconds,
        )

    def _probe(self) -> None:
        self.config.probe()
