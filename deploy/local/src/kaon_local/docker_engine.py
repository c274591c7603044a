"""The Docker engine: the machine's own if one answers, else one that we start."""

import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from kaon_local.errors import MissingTool, NotReady
from kaon_local.process import Command
from kaon_local.server import Server

_SOCKET = Path("/var/run/docker.sock")
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class DockerConfig:
    """An engine of our own, where the machine runs none.

    There is one at a time: engines share the machine's bridge and firewall.
    """

    # Directory for images and containers; kept over restarts, so that base images are made once.
    state: Path
    # None = $DOCKER_HOST, or the usual place.
    host: str | None = None

    @property
    def url(self) -> str:
        return self.host or os.environ.get("DOCKER_HOST") or f"unix://{_SOCKET}"


class DockerEngine(Server):
    """Healthy when its API answers. An engine that answered before `start` is used as it is, and is never stopped."""

    def __init__(
        self, config: DockerConfig, *, name: str = "docker", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log)
        self.config = config
        self._found = False

    @property
    def ours(self) -> bool:
        """Whether this object started the engine."""
        return super().running

    @property
    def running(self) -> bool:
        return self._found or super().running

    def endpoints(self) -> Mapping[str, str]:
        return {"DOCKER_HOST": self.config.url}

    def start(self) -> None:
        """Find an engine or start one; MissingTool where there is no engine and none can be started."""
        self._found = engine_answers(self.config.url)
        if not self._found:
            self._check_can_start()
            super().start()

    def _check_can_start(self) -> None:
        if shutil.which("dockerd") is None:
            raise MissingTool(
                f"no Docker engine answers at {self.config.url} and dockerd is not installed"
            )
        if os.geteuid() != 0:
            raise MissingTool(
                f"no Docker engine answers at {self.config.url}, and only root can start one: start it, or allow us its socket"
            )

    def _prepare(self) -> None:
        """The engine makes its own directories."""

    def _command(self) -> Command:
        folders = (
            "--data-root",
            str(self.state / "data"),
            "--exec-root",
            "/run/kaon-docker",
            "--pidfile",
            "/run/kaon-docker.pid",
        )
        # With SIGTERM it ends its containers and its containerd; SIGKILL would leave both.
        return Command(
            argv=("dockerd", "--host", self.config.url, *folders),
            stop_signal=signal.SIGTERM,
            death_signal=signal.SIGTERM,
            stop_seconds=30,
        )

    def _probe(self) -> None:
        if not engine_answers(self.config.url):
            raise NotReady(f"no Docker engine answers at {self.config.url}")


def engine_answers(url: str) -> bool:
    """Whether a Docker engine can be used at `url`."""
    # Docker's client leaves its socket open when nobody answers, so a missing or dead socket file is told beforehand.
    if url.startswith("unix://") and not _accepts(url.removeprefix("unix://")):
        return False
    try:
        client = docker.DockerClient(base_url=url, timeout=_TIMEOUT_SECONDS)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def _accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_TIMEOUT_SECONDS)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
