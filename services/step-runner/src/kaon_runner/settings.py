"""The runner's settings. Immutable; every field has an environment variable `KAON_<NAME>`."""

from __future__ import annotations

import ipaddress
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kaon_runner.errors import InvalidSettings
from kaon_wire.definitions.names import POOL_NAME, POOL_NAME_RULE

# Published containers are reached by their names, in their network.
IN_NETWORK = "network"


def _default_work() -> Path:
    return Path(tempfile.gettempdir()) / f"kaon-runner-{os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one runner."""

    # Stable name of this runner in its pool (KAON_RUNNER_ID).
    runner_id: str = field(default_factory=platform.node)
    # The pool whose steps it takes (KAON_POOL).
    pool: str = "default"
    # Bootstrap servers of Kafka, "host:port,host:port" (KAON_KAFKA). Empty only with the in-memory transport.
    kafka: str = ""
    # Slots for steps that run at once (KAON_SLOTS).
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    # Thousandths of a core for steps; 0: all of the machine's (KAON_CPU_MILLI).
    cpu_milli: int = 0
    # Bytes of memory for steps; 0: all of the machine's (KAON_MEMORY_BYTES).
    memory_bytes: int = 0
    # GPUs for steps (KAON_GPU).
    gpu: int = 0
    # Custom resources of this runner, "name=number,name=number" (KAON_RESOURCES).
    resources: Mapping[str, int] = field(default_factory=dict)
    # Steps beyond the free slots that may wait in this process; 0: twice what a matcher may release to it (KAON_QUEUE).
    queue: int = 0
    # Labels in addition to the detected ones, "name=value,name=value" (KAON_LABELS).
    labels: Mapping[str, str] = field(default_factory=dict)
    # Base URL of the artifact store: file:///..., s3://..., hdfs://... (KAON_ARTIFACTS).
    artifacts: str = ""
    # Base URL under which each lease gets a scratch directory of its own: hdfs://..., file:///... (KAON_SCRATCH).
    # Empty: under `work`.
    scratch: str = ""
    # Local directory for step directories (KAON_WORK). It holds the output of steps until it is in the
    # artifact store.
    work: Path = field(default_factory=_default_work)
    # Local directory for unpacked bundles, compiled code and fetched artifacts; runners may share it
    # (KAON_CACHE). Empty: under `work`.
    cache: Path | None = None
    # The Python that runs python steps (KAON_PYTHON).
    python: str = sys.executable
    # Steps that one warm worker runs before it is replaced (KAON_WORKER_STEPS).
    worker_steps: int = 10_000
    # Bytes that a step's directory and its local scratch space may occupy together; 0: no bound (KAON_STEP_DISK_BYTES).
    step_disk_bytes: int = 0
    # Seconds for which scratch space under `work` stays after its last write (KAON_SCRATCH_SECONDS).
    scratch_seconds: float = 7 * 86_400.0
    # Seconds for which a fetched artifact stays in the cache after its last use, at least three hours
    # (KAON_CACHE_SECONDS).
    cache_seconds: float = 7 * 86_400.0
    # Bytes of memory that a warm worker may keep between two steps before it is replaced (KAON_WORKER_MEMORY_BYTES).
    worker_memory_bytes: int = 1024 * 1024 * 1024
    # Seconds for which an idle warm worker waits for another step of its kind (KAON_WORKER_IDLE_SECONDS).
    worker_idle_seconds: float = 300.0
    # Digests of code bundles whose workers are started in advance, "sha256:...,sha256:..." (KAON_PREWARM).
    prewarm: tuple[str, ...] = ()
    # Types of steps that are looked for on this machine; empty: all that are installed (KAON_STEP_TYPES).
    step_types: tuple[str, ...] = ()
    # Processes and threads that one step may have; 0: no bound (KAON_STEP_PROCESSES).
    step_processes: int = 4096
    # Steps that may wait inside a warm worker behind the running one (KAON_PREFETCH).
    prefetch: int = 4
    # HiveServer2, "host:port", or "https://host:port/cliservice" for its HTTP mode (KAON_HIVE).
    hive: str = ""
    # Spark Connect server, "sc://host:port", or "sc://host:port/;use_ssl=true" (KAON_SPARK_CONNECT).
    spark_connect: str = ""
    # PEM file with the authorities of both servers' certificates; empty: those of the system (KAON_ENGINES_CA).
    engines_ca: str = ""
    # File with a line for each tenant, "tenant token": steps show the token of their tenant to both servers
    # (KAON_ENGINES_TOKENS).
    engines_tokens: Path | None = None
    # Docker engine, "unix:///path" or "tcp://host:port"; empty: the Docker client's own default (KAON_DOCKER_HOST).
    docker_host: str = ""
    # Networks of the Docker engine that docker steps may name, beside "none", "name,name": with "host" they reach what listens on
    # this machine's loopback alone (KAON_DOCKER_NETWORKS).
    docker_networks: tuple[str, ...] = ("bridge",)
    # Where other runners' steps reach what docker steps publish: an address of this machine, to which their ports are bound, or
    # "network" when this runner is a container of the same engine: then they are reached by name in their network, and no port is
    # bound (KAON_RUNNER_ADDRESS).
    runner_address: str = "127.0.0.1"
    # The model publisher's gRPC address, "host:port" (KAON_PUBLISHER).
    publisher: str = ""
    # File with the token that a runner shows to the publisher, beside the lease of the step; empty: it shows the token in
    # KAON_TOKEN, if there is one (KAON_PUBLISHER_TOKEN).
    publisher_token: Path | None = None
    # Seconds between renewals of leases, and between heartbeats (KAON_RENEW_SECONDS).
    renew_seconds: float = 2.0
    # Seconds without a renewal after which a step's supervisor ends it by itself (KAON_SUPERVISOR_SECONDS).
    supervisor_seconds: float = 60.0
    # The same for exclusive steps, counted from the sending of the last acknowledged renewal. It must be less
    # than the coordinator's wait before the next holder: a lease of 10 s and 20 s more
    # (KAON_EXCLUSIVE_SECONDS).
    exclusive_seconds: float = 15.0
    # Seconds that running steps have to finish during a shutdown (KAON_DRAIN_SECONDS).
    drain_seconds: float = 20.0
    # Bytes kept of one step's complete log, from its beginning and its end; a notice between them tells what
    # is omitted (KAON_LOG_LIMIT_BYTES).
    log_limit_bytes: int = 64 * 1024 * 1024
    # host:port at which Prometheus reads metrics; empty: metrics are not served (KAON_METRICS). KAON_METRICS_TOKEN_FILE names a
    # file with the token that reading them takes; "none": no token, although others reach the address.
    metrics: str = ""
    # Port of the HTTP health check on 127.0.0.1; 0: none (KAON_HEALTH).
    health: int = 0

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise InvalidSettings(f"KAON_SLOTS is {self.slots}: a runner needs at least one slot")
        if not POOL_NAME.match(self.pool):
            raise InvalidSettings(
                f"KAON_POOL: {self.pool!r} is no name of a pool: {POOL_NAME_RULE}"
            )
        self._check_engines()
        self._check_docker_networks()
        self._check_address()
        if not self.runner_id:
            raise InvalidSettings(
                "KAON_RUNNER_ID is empty: give the runner a name that is unique in its pool"
            )

    def _check_engines(self) -> None:
        """Refuse to show tokens over lines that nothing encrypts."""
        if self.engines_tokens is None:
            return
        if self.hive and not self.hive.startswith("https://"):
            raise InvalidSettings(
                f"KAON_HIVE is {self.hive!r}: with KAON_ENGINES_TOKENS it must begin with https://"
            )
        if self.spark_connect and "use_ssl=true" not in self.spark_connect:
            raise InvalidSettings(
                f"KAON_SPARK_CONNECT is {self.spark_connect!r}: with KAON_ENGINES_TOKENS it must end with /;use_ssl=true"
            )

    def _check_docker_networks(self) -> None:
        """Refuse to allow the network of a container: that may be a step of somebody else."""
        wrong = [name for name in self.docker_networks if ":" in name]
        if wrong:
            raise InvalidSettings(
                f"KAON_DOCKER_NETWORKS: {wrong[0]!r} is no network of the engine; name those of `docker network ls`"
            )

    def _check_address(self) -> None:
        """Refuse what is no address of one machine: ports are bound to it, and others are told of it."""
        if self.runner_address == IN_NETWORK:
            return
        try:
            usable = not ipaddress.ip_address(self.runner_address).is_unspecified
        except ValueError:
            usable = False
        if not usable:
            raise InvalidSettings(
                f"KAON_RUNNER_ADDRESS is {self.runner_address!r}: give the IP address at which others reach this machine, or "
                f"{IN_NETWORK!r} when the runner is a container beside those of its steps"
            )

    @property
    def cache_directory(self) -> Path:
        """Return the directory of unpacked bundles, compiled code and fetched artifacts, by digest."""
        return self.cache or self.work / "cache"

    @classmethod
    def from_env(cls, env: Mapping[str, str], **overrides: Any) -> Settings:
        """Read the settings from variables `KAON_<NAME>`; `overrides` that are not None win.

        Raises:
            InvalidSettings: A variable is malformed; the message names it.
        """
        values: dict[str, Any] = {}
        for entry in fields(cls):
            name = "KAON_" + entry.name.upper()
            if env.get(name):
                values[entry.name] = _parse(name, str(entry.type), env[name])
        values |= {name: value for name, value in overrides.items() if value is not None}
        return cls(**values)


def _parse(name: str, kind: str, text: str) -> Any:
    try:
        match kind:
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "Path" | "Path | None":
                return Path(text)
            case "tuple[str, ...]":
                return tuple(filter(None, (part.strip() for part in text.split(","))))
            case "Mapping[str, int]":
                return {name: int(number) for name, number in parse_labels(text).items()}
            case "Mapping[str, str]":
                return parse_labels(text)
    except ValueError as error:
        raise InvalidSettings(f"{name}={text!r}: {error}") from error
    return text


def parse_labels(text: str) -> dict[str, str]:
    """Parse "name=value,name=value".

    Raises:
        ValueError: An entry has no name or no "=".
    """
    labels = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, separator, value = entry.partition("=")
        if not separator or not name:
            raise ValueError(f"{entry!r} is not of the form name=value")
        labels[name] = value
    return labels
