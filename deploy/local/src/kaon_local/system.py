"""The whole system on this machine: the servers that Kaon needs, and Kaon's own services as separate processes."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import docker

from kaon_console.doors import new_link
from kaon_console.settings import settings_from
from kaon_local import probes
from kaon_local.base_image import base_name, ensure_base
from kaon_local.docker_engine import DockerConfig, DockerEngine, engine_answers
from kaon_local.hdfs import Hdfs, HdfsConfig
from kaon_local.kafka import Kafka, KafkaConfig, ProxiedListener
from kaon_local.paths import cache
from kaon_local.ports import free_port
from kaon_local.registry import Registry, RegistryConfig
from kaon_local.secure.closed import Closed, close
from kaon_local.secure.engines import EngineFiles, EnginesConfig, EnginesGateway
from kaon_local.secure.lines import Lines
from kaon_local.secure.people import TENANTS, USUAL
from kaon_local.server import Component
from kaon_local.service import Service, ServiceConfig
from kaon_local.spark import SparkConfig, SparkServer
from kaon_local.supervisor import Report, Supervisor
from kaon_service.principal import Principal
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW
from kaon_wire.topic_rights import runner as runner_account
from kaon_wire.topics import Catalogue

HOST = "127.0.0.1"
# What one coordinator and a few runners need. What a runner says at once travels as one record for each partition, so every further
# one costs broker, runner and coordinator.
ONE_COORDINATOR = Catalogue(run_partitions=2, pool_partitions=1, runner_partitions=4)


@dataclass(frozen=True, kw_only=True)
class SystemConfig:
    """What of the system is wanted."""

    # Everything that it writes lies under here.
    state: Path
    # Whether its state is used again: the broker of a system that is not kept is killed when its turn comes to end, because a
    # clean end takes a second of processor time.
    kept: bool = True
    runners: int = 2
    # Steps that one runner executes at once.
    slots: int = 4
    # HDFS and the Spark server; without them steps of types hive and spark find no runner.
    engines: bool = True
    # A Docker engine and an image registry. None: when this machine can have one.
    docker: bool | None = None
    publisher: bool = True
    # The view service; the console has it with it.
    view: bool = False
    # The web console; it needs its page to be built.
    console: bool = False
    # How many coordinators share the runs; several need a database that they can share.
    coordinators: int = 1
    # How many further processes answer the API and own no partitions.
    apis_only: int = 0
    # Where coordinators keep their rows; None: a SQLite file of its own.
    database: str | None = None
    # None: as many partitions as one coordinator needs, or the usual number when there are several.
    catalogue: Catalogue | None = None
    # Fixed ports for people; 0: free ones.
    api_port: int = 0
    publisher_port: int = 0
    view_port: int = 0
    console_port: int = 0
    # Certificates, keys and tokens; None: the system is open, and everybody on this machine may do everything.
    closed: Closed | None = None
    # Added to the environment of all services.
    env: Mapping[str, str] = field(default_factory=dict)
    # Bootstrap servers that the runners use instead of the broker's own, for fault tests.
    runner_kafka: str | None = None
    # A second listener of the broker, whose clients come through a proxy.
    proxied: ProxiedListener | None = None
    # TLS and accounts at the broker, lease tokens, and signed commands to runners (docs/lines.md).
    closed_lines: bool = False


class System:
    """All components of one system. Start it with `start`, or as a context manager."""

    def __init__(self, config: SystemConfig, *, report: Report = lambda line: None) -> None:
        self.config = config
        self.catalogue = config.catalogue or (
            Catalogue() if config.coordinators > 1 else ONE_COORDINATOR
        )
        self.supervisor = Supervisor(report=report)
        # Where each service serves its metrics, host:port.
        self.metrics: dict[str, str] = {}
        self._base: list[Component] = []
        self.lines: Lines | None = None
        if config.closed_lines or config.closed is not None:
            self.lines = Lines(config.state / "lines", self.catalogue)
        add = self.supervisor.add
        broker = KafkaConfig(
            state=config.state / "kafka",
            topics=self.catalogue.topics(),
            proxied=config.proxied,
            closed=self.lines.kafka if self.lines is not None else None,
        )
        self.kafka = add(Kafka(broker))
        self.hdfs: Hdfs | None = None
        self.spark: SparkServer | None = None
        # Before the Spark server of a closed system.
        self.engines: EnginesGateway | None = None
        self.docker: DockerEngine | None = None
        self.registry: Registry | None = None
        self.issuer = add(_issuer(config.closed)) if config.closed is not None else None
        self._add_engines()
        self._add_docker()
        names = [
            "coordinator",
            *(f"coordinator-{number}" for number in range(2, config.coordinators + 1)),
        ]
        self.coordinators = [add(self._coordinator(name), after=[self.kafka]) for name in names]
        self.coordinator = self.coordinators[0]
        self.apis_only = [
            add(self._coordinator(f"coordinator-api-{number}", api_only=True), after=[self.kafka])
            for number in range(1, config.apis_only + 1)
        ]
        self.publisher: Service | None = None
        if config.publisher:
            after = [each for each in (self.kafka, self.docker, self.registry) if each is not None]
            self.publisher = add(self._publisher(), after=after)
        self.view: Service | None = None
        self.console: Service | None = None
        if config.view or config.console:
            self.view = add(self._view(), after=[self.kafka, self.coordinator])
        if config.console:
            self.console = add(
                self._console(), after=[self.coordinator, *filter(None, [self.view])]
            )
        self.runners = [self.add_runner(number) for number in range(1, config.runners + 1)]

    def __enter__(self) -> "System":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts everything and returns when all of it is healthy."""
        self.config.state.mkdir(parents=True, exist_ok=True)
        if self.lines is not None:
            self.lines.make()
        self.supervisor.start()

    def stop(self) -> None:
        """Stops everything, the services first."""
        self.supervisor.stop(kill=() if self.config.kept else (self.kafka,))

    @property
    def api(self) -> str:
        """Address of the coordinator's gRPC API."""
        return self.coordinator.config.endpoints["KAON_SERVER"]

    @property
    def apis(self) -> list[str]:
        """Addresses of all APIs; those of processes that own no partitions come last."""
        return [each.config.env["KAON_ADDRESS"] for each in (*self.coordinators, *self.apis_only)]

    def environment(self) -> dict[str, str]:
        """What a client needs to find the system, as environment variables."""
        return self.supervisor.environment()

    def console_link(self, page: str = "/") -> str:
        """A link that logs somebody in at the console, and leads to a page. It is good once."""
        assert self.console is not None
        origin = f"{self.console_scheme}://{self.console.config.env['KAON_CONSOLE_ADDRESS']}"
        return console_link(self.config.state, origin, page, closed=self.config.closed is not None)

    @property
    def console_scheme(self) -> str:
        """How browsers reach the console: http or https."""
        return "http" if self.config.closed is None else "https"

    def add_runner(self, number: int, **env: str) -> Service:
        """Adds one more runner; the caller starts it when the system is up already."""
        after = [
            each
            for each in (self.kafka, self.hdfs, self.engines or self.spark, self.docker)
            if each is not None
        ]
        return self.supervisor.add(self._runner(number, env), after=after)

    def _add_engines(self) -> None:
        if not self.config.engines:
            return
        state = self.config.state
        self.hdfs = self.supervisor.add(Hdfs(HdfsConfig(state=state / "hdfs")))
        closed = self.config.closed is not None
        spark = SparkConfig(state=state / "spark", hdfs=self.hdfs.uri, hive_http=closed)
        self.spark = self.supervisor.add(SparkServer(spark), after=[self.hdfs])
        if closed:
            files = EngineFiles(directory=state / "access" / "engines", tenants=TENANTS)
            config = EnginesConfig(state=state / "engines", files=files, spark=spark)
            self.engines = self.supervisor.add(EnginesGateway(config), after=[self.spark])

    def _add_docker(self) -> None:
        wanted = self.config.docker
        if wanted is None:
            wanted = can_have_docker()
        if not wanted:
            return
        state = self.config.state
        self.docker = self.supervisor.add(_EngineWithBase(DockerConfig(state=docker_state())))
        self.registry = self.supervisor.add(Registry(RegistryConfig(state=state / "registry")))

    def _common(self, name: str, account: str = "") -> dict[str, str]:
        catalogue = self.catalogue
        self.metrics[name] = f"{HOST}:{free_port()}"
        common = {
            "KAON_KAFKA": self.kafka.address,
            "KAON_ARTIFACTS": f"file://{self.config.state}/artifacts",
            "KAON_RUN_PARTITIONS": str(catalogue.run_partitions),
            "KAON_POOL_PARTITIONS": str(catalogue.pool_partitions),
            "KAON_RUNNER_PARTITIONS": str(catalogue.runner_partitions),
            "KAON_POOLS": ",".join(catalogue.pools),
            "KAON_METRICS": self.metrics[name],
        }
        if self.lines is not None and account:
            common |= self.lines.variables(account)
        if self.docker is not None:
            common |= self.docker.endpoints()
        if self.spark is not None:
            common |= (self.engines or self.spark).endpoints()
        return common | self._access(name) | dict(self.config.env)

    def _access(self, name: str) -> dict[str, str]:
        """Return what a service is told of who may call, and over which lines."""
        closed = self.config.closed
        if closed is None:
            return {}
        if name.startswith("step-runner"):
            engines = {} if self.engines is None else self.engines.config.files.runner()
            return closed.runners | engines
        audits = name.startswith("coordinator") or name == "model-publisher"
        return closed.files.auditors if audits else closed.files.services

    @property
    def _ca(self) -> Path | None:
        return None if self.config.closed is None else self.config.closed.files.ca

    def _coordinator(self, name: str, *, api_only: bool = False) -> Service:
        state = self.config.state / name
        first = name == "coordinator"
        address = f"{HOST}:{(self.config.api_port if first else 0) or free_port()}"
        database = self.config.database or database_of(self.config.state, name)
        return Service(
            ServiceConfig(
                name=name,
                state=state,
                module="kaon_coordinator",
                probe=partial(probes.grpc_serving, address, ca=self._ca),
                env=self._common(name, COORDINATOR)
                | {
                    "KAON_ADDRESS": address,
                    "KAON_DATABASE": database,
                    "KAON_API_ONLY": "on" if api_only else "off",
                },
                endpoints={"KAON_SERVER" if first else f"KAON_SERVER_{_suffix(name)}": address},
            )
        )

    def _publisher(self) -> Service:
        state = self.config.state / "publisher"
        address = f"{HOST}:{self.config.publisher_port or free_port()}"
        env = self._common("model-publisher", PUBLISHER) | {
            "KAON_PUBLISHER_ADDRESS": address,
            # Whom it asks for tokens and tenants.
            "KAON_SERVER": self.api,
            "KAON_PUBLISHER_DATABASE": f"sqlite:///{state}/models.db",
            "KAON_PUBLISHER_LAYOUTS": str(state / "layouts"),
        }
        if self.registry is not None:
            env["KAON_REGISTRY"] = self.registry.address
        if self.docker is not None:
            env["KAON_SERVING_BASE"] = base_name()
        return Service(
            ServiceConfig(
                name="model-publisher",
                state=state,
                module="kaon_publisher",
                probe=partial(probes.grpc_serving, address, ca=self._ca),
                env=env,
                endpoints={"KAON_PUBLISHER": address},
            )
        )

    def _view(self) -> Service:
        address = f"{HOST}:{self.config.view_port or free_port()}"
        env = self._common("view", VIEW) | {
            "KAON_VIEW_ADDRESS": address,
            "KAON_DATABASE": self.coordinator.config.env["KAON_DATABASE"],
        }
        return Service(
            ServiceConfig(
                name="view",
                state=self.config.state / "view",
                module="kaon_coordinator.view",
                probe=partial(probes.grpc_serving, address, ca=self._ca),
                env=env,
                endpoints={"KAON_VIEW": address},
            )
        )

    def _console(self) -> Service:
        state = self.config.state / "console"
        address = f"{HOST}:{self.config.console_port or free_port()}"
        env = self._common("console") | self.environment()
        return Service(
            ServiceConfig(
                name="console",
                state=state,
                module="kaon_console",
                probe=partial(
                    probes.http_ok, f"{self.console_scheme}://{address}/health", self._ca
                ),
                env=env
                | {
                    "KAON_CONSOLE_ADDRESS": address,
                    "KAON_CONSOLE_STATE": str(_logins(self.config.state)),
                },
            )
        )

    def _runner(self, number: int, extra: Mapping[str, str]) -> Service:
        name = f"step-runner-{number}"
        state = self.config.state / name
        health = free_port()
        env = self._common(name, runner_account(extra.get("KAON_POOL", "default"))) | {
            "KAON_RUNNER_ID": f"runner-{number}",
            "KAON_SLOTS": str(self.config.slots),
            "KAON_WORK": str(state / "work"),
            "KAON_CACHE": str(self.config.state / "runner-cache"),
            "KAON_HEALTH": str(health),
            "KAON_PYTHON": sys.executable,
            # A system that is stopped here waits for no step: its run goes on when the system is started again.
            "KAON_DRAIN_SECONDS": "1",
        }
        if self.hdfs is not None:
            env["KAON_SCRATCH"] = f"{self.hdfs.uri}/kaon/scratch"
            env["HADOOP_CONF_DIR"] = str(self.hdfs.config.client_configuration)
        if self.publisher is not None:
            env["KAON_PUBLISHER"] = self.publisher.config.endpoints["KAON_PUBLISHER"]
        if self.config.runner_kafka is not None:
            env["KAON_KAFKA"] = self.config.runner_kafka
        return Service(
            ServiceConfig(
                name=name,
                state=state,
                module="kaon_runner",
                probe=partial(probes.http_ok, f"http://{HOST}:{health}/health"),
                env=env | dict(extra),
                start_seconds=90,
                stop_seconds=30,
            )
        )


def _suffix(coordinator: str) -> str:
    """Return what tells a coordinator from the first one, as a part of a variable's name."""
    return coordinator.removeprefix("coordinator-").replace("-", "_").upper()


def database_of(state: Path, coordinator: str = "coordinator") -> str:
    """URL of the database that a coordinator of the system with this state has, unless another one is named."""
    return f"sqlite:///{state.absolute()}/{coordinator}/kaon.db"


def closed_in(state: Path, *, environment_file: Path, issuer_port: int) -> Closed:
    """Make what a closed system needs; its tenants and tokens are in the coordinator's database before that starts.

    Args:
        state: Directory of the system.
        environment_file: What people source into their shells.
        issuer_port: Where the issuer listens.
    """
    (state / "coordinator").mkdir(parents=True, exist_ok=True)
    return close(
        state / "access",
        database=database_of(state),
        environment_file=environment_file,
        issuer_port=issuer_port,
        pool="default",
    )


def _issuer(closed: Closed) -> Service:
    files = closed.files
    url = f"{files.issuer_url}/.well-known/openid-configuration"
    return Service(
        ServiceConfig(
            name="issuer",
            state=files.directory,
            module="kaon_local.issuer",
            arguments=(str(files.issuer_settings),),
            probe=partial(probes.http_ok, url, files.ca),
            endpoints={"KAON_OIDC_ISSUER": files.issuer_url},
        )
    )


def console_link(state: Path, origin: str, page: str = "/", *, closed: bool = False) -> str:
    """A link that logs somebody in, once, at the console of the system that keeps its state there.

    Of an open system that is whom the environment names; a closed one knows its own people.
    """
    usual = Principal(tenant=USUAL.tenant, name=USUAL.name, roles=frozenset({USUAL.role}))
    principal = usual if closed else settings_from(os.environ).principal
    return new_link(_logins(state), origin, principal, page)


def _logins(state: Path) -> Path:
    return state / "console" / "logins"


def can_have_docker() -> bool:
    """Whether a Docker engine answers here, or can be started: that takes root, and the engine installed."""
    found = engine_answers(DockerConfig(state=docker_state()).url)
    return found or (os.geteuid() == 0 and shutil.which("dockerd") is not None)


def docker_state() -> Path:
    """Images are expensive to make, so the engine's data outlives a demo."""
    return cache() / "docker"


class _EngineWithBase(DockerEngine):
    """An engine that has the image on which models are served."""

    def start(self) -> None:
        super().start()
        client = docker.DockerClient(base_url=self.config.url, timeout=300)
        try:
            ensure_base(client)
        finally:
            client.close()
