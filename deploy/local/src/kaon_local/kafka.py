"""One real Apache Kafka broker (KRaft, broker and controller in one process)."""

import base64
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    NewTopic,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import KafkaError, TopicAlreadyExistsError

from kaon_local.class_archives import RECORD_SECONDS, class_archives, patient, recording, using
from kaon_local.errors import ForeignServer, NotReady
from kaon_local.fetch import build_once, jars
from kaon_local.kafka_storage import copy_storage, format_storage, stored_cluster_id
from kaon_local.ports import HOST, free_port, listening
from kaon_local.process import Command
from kaon_local.secure.files import write_private
from kaon_local.secure.kafka_accounts import ADMINISTRATOR, KafkaAccounts, user_of
from kaon_local.secure.native_ciphers import (
    fallback,
    has_native_ciphers,
    jvm_options,
    use_native_ciphers,
)
from kaon_local.server import Server
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.topic_rights import Right

_JVM = ("-Xms256m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# The name of its class archive.
_ARCHIVE = "broker"
# What a broker reads in its state directory.
_SETTINGS = "server.properties"
_ADMIN_TIMEOUT_MS = 5_000
_OPEN: Mapping[str, Any] = {}


class TopicSpec(Protocol):
    """What must be known of a topic to create it; `kaon_wire.topics.Topic` has this shape."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def config(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, kw_only=True)
class ProxiedListener:
    """A second listener whose clients are told to come through a proxy: they see its faults, other clients do not."""

    # Where the broker listens; the proxy's upstream.
    port: int
    # The port on 127.0.0.1 that clients of this listener are told to use: the proxy's.
    advertised_port: int


@dataclass(frozen=True, kw_only=True)
class KafkaConfig:
    """One broker. The ports are chosen once, so a restarted broker is where it was."""

    # Directory for data, configuration and the log file; kept over restarts.
    state: Path
    # Created before `start` returns: a client that sends to a missing topic may block for good.
    topics: tuple[TopicSpec, ...] = ()
    port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)
    # Names a cluster whose storage is empty; existing storage keeps its name. An answer under another name is somebody else's.
    cluster_id: str = field(default_factory=lambda: new_cluster_id())  # noqa: PLW0108 -- defined below
    proxied: ProxiedListener | None = None
    # TLS, passwords and rights; None: anybody on this machine may do anything.
    closed: KafkaAccounts | None = None
    # A second listener of a closed broker that takes anybody, while a system changes over; 0: there is none.
    open_port: int = 0
    # Broker settings added to, or instead of, the default ones.
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """host:port for clients."""
        return f"{HOST}:{self.port}"


class Kafka(Server):
    """A broker for clients on this machine; `start` returns when it has a leader for every topic."""

    def __init__(
        self, config: KafkaConfig, *, name: str = "kafka", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log)
        stored = stored_cluster_id(config.state / "data")
        self.config = config if stored is None else replace(config, cluster_id=stored)

    @property
    def address(self) -> str:
        return self.config.address

    def endpoints(self) -> dict[str, str]:
        return {"KAON_KAFKA": self.address}

    def account(self, name: str) -> dict[str, str]:
        """What a client is told to connect as one of the accounts; nothing when anybody may."""
        closed = self.config.closed
        return closed.variables(name) if closed is not None else {}

    @property
    def administrator(self) -> dict[str, Any]:
        """Arguments of kafka-python's clients that may do everything."""
        return KafkaSecurity.read(self.account(ADMINISTRATOR)).arguments

    def _prepare(self) -> None:
        if self.config.closed is not None:
            self.config.closed.make()
        _write_settings(self.state, self.config)
        if stored_cluster_id(self.state / "data") is None:
            self._format()

    def _format(self) -> None:
        """Give the empty data directory its cluster id."""
        cluster, closed = self.config.cluster_id, self.config.closed
        if closed is None:
            copy_storage(empty_storage(), self.state / "data", cluster)
            return
        java = (*_java(self.state), using(broker_classes(), _ARCHIVE))
        format_storage(java, self.state / _SETTINGS, cluster, closed.format_arguments())

    def _command(self) -> Command:
        return _broker(self.state, using(broker_classes(), _ARCHIVE))

    def _probe(self) -> None:
        if not listening(self.config.port):
            raise NotReady(f"nothing listens at {self.address}")
        administrator = self.administrator
        check_cluster(self.address, self.config.cluster_id, administrator)
        ensure_topics(self.address, self.config.topics, administrator)
        if self.config.closed is not None:
            ensure_rights(self.address, self.config.closed.rights, administrator)

    def _fell_back(self) -> str:
        if self.config.closed is None or self.pid is None:
            return ""
        return fallback(jars("kafka"), Path(f"/proc/{self.pid}/maps"))


def new_cluster_id() -> str:
    """A random cluster id in Kafka's notation (22 characters of URL-safe base64, never starting with a dash)."""
    return (
        base64.urlsafe_b64encode(uuid.uuid4().bytes)
        .decode()
        .rstrip("=")
        .replace("-", "A", 1)
        .replace("-", "B")
    )


def check_cluster(address: str, cluster_id: str, security: Mapping[str, Any] = _OPEN) -> None:
    """Raise ForeignServer unless the broker at `address` belongs to the cluster; NotReady if it does not answer yet."""
    admin = _admin(address, security)
    try:
        found = admin.describe_cluster()["cluster_id"]
    except KafkaError as error:
        raise NotReady(f"the broker at {address} does not answer: {error!r}") from error
    finally:
        admin.close()
    if found != cluster_id:
        raise ForeignServer(
            f"the broker at {address} belongs to cluster {found}, not to {cluster_id}: it is somebody else's"
        )


def ensure_topics(
    address: str, topics: Iterable[TopicSpec], security: Mapping[str, Any] = _OPEN
) -> None:
    """Create the topics that do not exist and return when each has a leader; NotReady while the broker cannot yet."""
    admin = _admin(address, security)
    try:
        known = set(admin.list_topics())
        missing = [topic for topic in topics if topic.name not in known]
        if missing:
            _create(admin, missing)
            admin.wait_for_topics([topic.name for topic in missing])
    except TopicAlreadyExistsError as error:
        raise NotReady(f"somebody else creates topics at {address} right now") from error
    except KafkaError as error:
        raise NotReady(f"the broker at {address} cannot create topics yet: {error!r}") from error
    finally:
        admin.close()


def ensure_rights(
    address: str, rights: Iterable[Right], security: Mapping[str, Any] = _OPEN
) -> None:
    """Grant the accounts of a closed broker their rights; NotReady while the broker cannot yet."""
    acls = [
        ACL(
            principal=f"User:{user_of(right.account)}",
            host="*",
            operation=ACLOperation[right.operation],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(ResourceType[right.resource], right.name),
        )
        for right in rights
    ]
    admin = _admin(address, security)
    try:
        refused = admin.create_acls(acls)["failed"]
    except KafkaError as error:
        raise NotReady(f"the broker at {address} cannot grant rights yet: {error!r}") from error
    finally:
        admin.close()
    if refused:
        raise NotReady(f"the broker at {address} cannot grant rights yet: {refused[0].__name__}")


def empty_storage() -> Path:
    """The data of a broker that has never run, made once: the tool that formats them is a JVM of its own."""
    libs = jars("kafka")
    return build_once(libs.with_name(f"{libs.name}-storage"), _format_empty)


def _format_empty(scratch: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        config = KafkaConfig(state=state)
        _write_settings(state, config)
        format_storage(_java(state), state / _SETTINGS, config.cluster_id)
        shutil.copytree(state / "data", scratch, dirs_exist_ok=True)


def broker_classes() -> Path:
    """Where a broker's class archive is, made once by a broker that runs for a moment."""
    return class_archives("kafka", jars("kafka"), (_ARCHIVE,), _record_classes)


def _record_classes(scratch: Path) -> None:
    recorder = _Recorder(KafkaConfig(state=scratch / "state"), scratch)
    recorder.start()
    recorder.stop()
    shutil.rmtree(recorder.state)


class _Recorder(Kafka):
    """A broker that writes the class archive when it ends."""

    def __init__(self, config: KafkaConfig, archives: Path) -> None:
        super().__init__(config)
        self.start_seconds = RECORD_SECONDS
        self._archives = archives

    def _command(self) -> Command:
        return patient(_broker(self.state, recording(self._archives, _ARCHIVE)))


def _admin(address: str, security: Mapping[str, Any]) -> KafkaAdminClient:
    try:
        return KafkaAdminClient(
            bootstrap_servers=address, request_timeout_ms=_ADMIN_TIMEOUT_MS, **security
        )
    except KafkaError as error:
        raise NotReady(f"the broker at {address} does not answer: {error!r}") from error


def _create(admin: KafkaAdminClient, topics: list[TopicSpec]) -> None:
    new = [
        NewTopic(topic.name, topic.partitions, 1, topic_configs=dict(topic.config))
        for topic in topics
    ]
    admin.create_topics(new, timeout_ms=_ADMIN_TIMEOUT_MS)


def _java(state: Path) -> tuple[str, ...]:
    return (
        "java",
        *_JVM,
        f"-Dlog4j2.configurationFile=file:{state}/log4j2.properties",
        "-cp",
        f"{jars('kafka')}/*",
    )


def _broker(state: Path, archive_option: str) -> Command:
    java, *options = _java(state)
    argv = (
        java,
        archive_option,
        *jvm_options(state),
        *options,
        "kafka.Kafka",
        str(state / _SETTINGS),
    )
    return Command(argv=argv, cwd=state, stop_signal=signal.SIGTERM, stop_seconds=20)


def _write_settings(state: Path, config: KafkaConfig) -> None:
    (state / "log4j2.properties").write_text(_LOG4J)
    closed = config.closed.settings() if config.closed is not None else {}
    if config.closed is not None and has_native_ciphers(jars("kafka")):
        closed |= use_native_ciphers(state)
    if config.closed is not None and config.open_port:
        # An authorizer's default for topics without rules would not do: they get rules while clients change over.
        closed["listener.security.protocol.map"] += ",OPEN:PLAINTEXT"
        closed["super.users"] += ";User:ANONYMOUS"
    lines = {**_settings(state, config), **closed, **config.settings}
    write_private(state / _SETTINGS, "".join(f"{key}={value}\n" for key, value in lines.items()))


def _settings(state: Path, config: KafkaConfig) -> dict[str, str]:
    listeners = {"PLAINTEXT": config.port, "CONTROLLER": config.controller_port}
    advertised = {"PLAINTEXT": config.port}
    if config.proxied is not None:
        listeners["PROXIED"] = config.proxied.port
        advertised["PROXIED"] = config.proxied.advertised_port
    if config.closed is not None:
        listeners["CERTIFICATES"] = advertised["CERTIFICATES"] = config.closed.certificate_port
        if config.open_port:
            listeners["OPEN"] = advertised["OPEN"] = config.open_port
    single = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{HOST}:{config.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": _addresses(listeners),
        "advertised.listeners": _addresses(advertised),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "log.dirs": str(state / "data"),
        "auto.create.topics.enable": "false",
        "num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "10000",
        "group.consumer.heartbeat.interval.ms": "1000",
        "group.consumer.min.session.timeout.ms": "3000",
        "group.consumer.min.heartbeat.interval.ms": "500",
        **{f"{topic}.replication.factor": "1" for topic in single},
        **{f"{topic}.num.partitions": "4" for topic in single},
        **{f"{topic}.min.isr": "1" for topic in single[1:]},
        # A killed broker stays shut until its old session has run out: with the default of 9 s, for 13 s.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "16777216",
    }


def _addresses(listeners: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items())


_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
"""
