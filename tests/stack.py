"""A system in containers as the tests see it: started by docker-compose.yml, with the faults that tests need."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.models.containers import Container
from docker.models.networks import Network
from support import until

from kaon_local import compose
from kaon_local.images import build_all
from kaon_local.paths import ROOT
from kaon_local.ports import HOST, free_port

# Other checkouts may be tested on the same engine, and their images are others.
TAG = f"test-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]}"
FILE = ROOT / "docker-compose.yml"
# What docker-compose.yml starts.
NEEDED = (
    *(
        "kafka",
        "postgres",
        "registry",
        "gateway",
        "coordinator",
        "model-publisher",
        "console",
        "consumer",
    ),
    *("hdfs", "sql-server", "step-runner-full", "object-store"),
)
# From "up" to all healthy, with everything else that this machine may be doing.
START_SECONDS = 240
PROJECT_LABEL = "com.docker.compose.project"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """One system in containers; the ports are chosen once."""

    # Compose's name for it; everything in the engine carries it.
    project: str
    # Directory for its settings.
    state: Path
    # Added to what docker-compose.yml is told.
    settings: Mapping[str, str] = field(default_factory=dict)
    # Files of compose that are laid over docker-compose.yml.
    overrides: Sequence[Path] = ()
    api_port: int = field(default_factory=free_port)
    publisher_port: int = field(default_factory=free_port)
    registry_port: int = field(default_factory=free_port)
    consumer_port: int = field(default_factory=free_port)
    console_port: int = field(default_factory=free_port)
    view_port: int = field(default_factory=free_port)


class Stack:
    """The containers of one system. Tests name services as docker-compose.yml does."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self._client = docker.DockerClient(base_url=os.environ.get("DOCKER_HOST"), timeout=60)
        self._settings = {
            **compose.settings(),
            "COMPOSE_PROJECT_NAME": config.project,
            "KAON_TAG": TAG,
            "KAON_API_PORT": str(config.api_port),
            "KAON_PUBLISHER_PORT": str(config.publisher_port),
            "KAON_REGISTRY_PORT": str(config.registry_port),
            "KAON_CONSUMER_PORT": str(config.consumer_port),
            "KAON_CONSOLE_PORT": str(config.console_port),
            "KAON_VIEW_PORT": str(config.view_port),
            **config.settings,
        }
        # What containers that are cut off were connected to, by their ids.
        self._cut: dict[str, list[Network]] = {}
        config.state.mkdir(parents=True, exist_ok=True)
        self._write_settings()

    @property
    def api(self) -> str:
        """host:port of the coordinators' gateway."""
        return f"{HOST}:{self.config.api_port}"

    @property
    def publisher(self) -> str:
        """host:port of the model-publisher."""
        return f"{HOST}:{self.config.publisher_port}"

    @property
    def command(self) -> str:
        """The compose program with this system's settings, as one shell text."""
        words = [
            *compose.compose_command(),
            "--project-directory",
            str(ROOT),
            "--env-file",
            str(self._env_file),
        ]
        return shlex.join(words)

    @property
    def settings(self) -> Mapping[str, str]:
        """What docker-compose.yml is told."""
        return self._settings

    def over(self, *files: Path) -> Stack:
        """The same system with files laid over docker-compose.yml."""
        return Stack(replace(self.config, settings=self._settings, overrides=files))

    def set(self, **settings: str) -> None:
        """Other settings, for what is started from now on."""
        self._settings |= settings
        self._write_settings()

    def compose(self, *words: str) -> str:
        """Runs compose and returns its output."""
        files = [word for path in self.config.overrides for word in ("--file", str(path))]
        return compose.compose(
            *files, "--env-file", str(self._env_file), "--project-name", self.config.project, *words
        )

    def up(self, *words: str) -> float:
        """Starts what the words name (nothing: everything), and returns the seconds until all are healthy."""
        began = time.monotonic()
        self.compose("up", "--detach", "--wait", "--wait-timeout", str(START_SECONDS), *words)
        return time.monotonic() - began

    def scale(self, service: str, count: int) -> None:
        """As many containers of a service; returns when they are healthy."""
        self.up("--no-recreate", "--scale", f"{service}={count}", service)

    def down(self, *, data: bool = True) -> None:
        """Removes everything, the data included unless it is to stay."""
        volumes = ["--volumes"] if data else []
        self.compose("down", *volumes, "--remove-orphans", "--timeout", "5")

    def containers(self, service: str, *, running: bool = True) -> list[Container]:
        """The containers of a service, the oldest first."""
        labels = [f"{PROJECT_LABEL}={self.config.project}", f"com.docker.compose.service={service}"]
        found = self._client.containers.list(all=not running, filters={"label": labels})
        return sorted(
            found, key=lambda each: int(each.labels["com.docker.compose.container-number"])
        )

    def container(self, service: str, index: int = 0) -> Container:
        """One container of a service that runs."""
        return self.containers(service)[index]

    def healthy(self, container: Container) -> bool:
        """Whether the container's health check says so."""
        container.reload()
        return bool(container.attrs["State"].get("Health", {}).get("Status") == "healthy")

    def await_healthy(self, container: Container, seconds: float = 90) -> None:
        """Returns when the container is healthy."""
        until(lambda: self.healthy(container), seconds=seconds, what=f"{container.name} is healthy")

    def cut(self, container: Container) -> None:
        """Takes a container off its networks: nobody reaches it, and it reaches nobody."""
        for network in self._networks(container):
            network.disconnect(container)
            self._cut.setdefault(container.id, []).append(network)

    def mend(self, container: Container, service: str) -> None:
        """Puts a container back on its networks, under the name of its service."""
        for network in self._cut.pop(container.id, []):
            network.connect(container, aliases=[service])

    def _networks(self, container: Container) -> list[Network]:
        container.reload()
        names = container.attrs["NetworkSettings"]["Networks"]
        return [self._client.networks.get(name) for name in names]

    def leftovers(self) -> list[str]:
        """What the engine still has of this system: containers, networks, volumes."""
        mine = self._mine
        containers = [f"container {each.name}" for each in self._everything()]
        networks = [f"network {each.name}" for each in self._client.networks.list(filters=mine)]
        volumes = [f"volume {each.name}" for each in self._client.volumes.list(filters=mine)]
        return [*containers, *networks, *volumes]

    def last_words(self, lines: int = 40) -> str:
        """How every container is, the end of what those said that are not well, and what the coordinators' threads are doing."""
        told = []
        for each in self._everything():
            told.append(f"{each.name}: {each.status}, {each.health}")
            coordinator = each.labels["com.docker.compose.service"] == "coordinator"
            if coordinator and each.status == "running":
                each.kill("SIGUSR2")
            if coordinator or each.health == "unhealthy":
                said = each.logs(tail=lines).decode(errors="replace").splitlines()
                told += [f"    {line[:300]}" for line in said]
        return "\n".join(told)

    def predict(self, request: Mapping[str, Any]) -> Any:
        """What the consumer answers over HTTP; None while it has no model, or one that takes no such request."""
        data = json.dumps(request).encode()
        return self._consumer("/predict", data)

    def version_in_service(self) -> int:
        """Which version of its model the consumer serves; 0: none."""
        answer = self._consumer("/version", None)
        return int(answer["version"]) if answer else 0

    def close(self) -> None:
        """Closes the connection to the engine."""
        self._client.close()

    def _consumer(self, path: str, data: bytes | None) -> Any:
        url = f"http://{HOST}:{self.config.consumer_port}{path}"
        try:
            with urllib.request.urlopen(url, data=data, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in {422, 503}:
                raise
            error.close()
            return None

    @property
    def _mine(self) -> dict[str, str]:
        return {"label": f"{PROJECT_LABEL}={self.config.project}"}

    def _everything(self) -> list[Container]:
        return list(self._client.containers.list(all=True, filters=self._mine))

    @property
    def _env_file(self) -> Path:
        return self.config.state / "compose.env"

    def _write_settings(self) -> None:
        self._env_file.write_text(
            "".join(f"{name}={value}\n" for name, value in self._settings.items())
        )


def build(client: docker.DockerClient) -> tuple[str, ...]:
    """Build the images that the tests start, print the figures and return the names."""
    built = list(build_all(client, tag=TAG, only=NEEDED))
    told(
        "images",
        [
            f"{each.name} {each.size_bytes / 1e6:.0f} MB, built in {each.seconds:.0f} s"
            for each in built
        ],
    )
    return tuple(each.name for each in built)


def remove_orphans() -> None:
    """Removes systems of test processes that have ended without taking them down: they would take the machine from this one.

    Projects of tests end in the number of their process.
    """
    client = docker.DockerClient(base_url=os.environ.get("DOCKER_HOST"), timeout=120)
    try:
        wanted = {"label": PROJECT_LABEL}
        for container in client.containers.list(all=True, filters=wanted):
            if _orphaned(container.labels[PROJECT_LABEL]):
                container.remove(force=True, v=True)
        for network in client.networks.list(filters=wanted):
            if _orphaned(network.attrs["Labels"][PROJECT_LABEL]):
                network.remove()
        for volume in client.volumes.list(filters=wanted):
            if _orphaned(volume.attrs["Labels"][PROJECT_LABEL]):
                volume.remove(force=True)
    finally:
        client.close()


def _orphaned(project: str) -> bool:
    found = re.fullmatch(r"kaon-[a-z0-9]+-(\d+)", project)
    return found is not None and not psutil.pid_exists(int(found[1]))


@contextmanager
def alone(config: StackConfig) -> Iterator[Stack]:
    """A system of its own, to be started by whoever uses it; taken down behind it with nothing left over."""
    stack = Stack(config)
    try:
        yield stack
    finally:
        stack.down()
        left = stack.leftovers()
        stack.close()
        assert not left, f"compose down left {left}"


def settings_in(file: Path) -> dict[str, str]:
    """What a file of compose's settings says."""
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def attach(state: Path) -> Stack:
    """The system that was started with this directory."""
    settings = settings_in(state / "compose.env")
    config = StackConfig(
        project=settings["COMPOSE_PROJECT_NAME"],
        state=state,
        settings=settings,
        api_port=int(settings["KAON_API_PORT"]),
        publisher_port=int(settings["KAON_PUBLISHER_PORT"]),
        registry_port=int(settings["KAON_REGISTRY_PORT"]),
        consumer_port=int(settings["KAON_CONSUMER_PORT"]),
    )
    return Stack(config)


def told(what: str, figures: Sequence[str]) -> None:
    """Prints figures where `pytest -rP` and CI's log show them."""
    print(f"\nFIGURES {what}: {'; '.join(figures)}", flush=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    Stack(StackConfig(project=f"kaon-{place.name}", state=place)).up("--scale", "coordinator=2")
