"""One JVM from pyspark's wheel that speaks two protocols: HiveServer2's (SQL, with a Derby metastore) and Spark Connect's."""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from kaon_local.class_archives import RECORD_SECONDS, class_archives, patient, recording, using
from kaon_local.errors import MissingTool, NotReady
from kaon_local.hdfs import BLOCK_BYTES
from kaon_local.ports import HOST, free_port, listening
from kaon_local.probes import grpc_ready
from kaon_local.process import Command
from kaon_local.server import Server

# The first compiler only and the simplest collector: quickest for minutes of small work on few cores. It wants deeper stacks, or
# Spark's long lineages overflow them.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss4m")
# The name of its class archive.
_ARCHIVE = "server"
_OPEN_PACKAGES = (
    *(
        "java.lang",
        "java.lang.invoke",
        "java.lang.reflect",
        "java.io",
        "java.net",
        "java.nio",
        "java.util",
    ),
    *(
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "jdk.internal.ref",
        "sun.nio.ch",
        "sun.nio.cs",
    ),
    *("sun.security.action", "sun.util.calendar"),
)
_MAIN = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
_HTTP_PATH = "cliservice"
_CONNECT_PLUGIN = "org.apache.spark.sql.connect.SparkConnectPlugin"


@dataclass(frozen=True, kw_only=True)
class SparkConfig:
    """One Spark server. The ports are chosen once, so a restarted server is where it was."""

    # Directory for the metastore, the local warehouse, scratch files and the log; kept over restarts. The tables' files and the
    # metastore belong together: delete both or neither.
    state: Path
    # `hdfs://host:port`, to be the default file system and hold the warehouse; None = local files.
    hdfs: str | None = None
    hive_port: int = field(default_factory=free_port)
    connect_port: int = field(default_factory=free_port)
    # Whether HiveServer2's protocol is spoken over HTTP, as before a proxy that checks users.
    hive_http: bool = False
    # Where Spark's own pages and REST answer; None = nowhere.
    ui_port: int | None = None
    cores: int = field(default_factory=lambda: max(2, os.cpu_count() or 2))
    heap: str = "1g"
    # Spark settings added to, or instead of, the default ones.
    settings: Mapping[str, str] = field(default_factory=dict)


class SparkServer(Server):
    """Healthy when a HiveServer2 session can be opened and Spark Connect's server answers."""

    def __init__(
        self, config: SparkConfig, *, name: str = "spark", log: Path | None = None
    ) -> None:
        super().__init__(name=name, state=config.state, log=log, start_seconds=120)
        self.config = config

    @property
    def hive_address(self) -> str:
        """Address of the HiveServer2 protocol (PLAIN, any user)."""
        address = f"{HOST}:{self.config.hive_port}"
        return f"http://{address}/{_HTTP_PATH}" if self.config.hive_http else address

    @property
    def connect_url(self) -> str:
        """For `SparkSession.builder.remote`."""
        return f"sc://{HOST}:{self.config.connect_port}"

    def endpoints(self) -> dict[str, str]:
        found = {"KAON_HIVE": self.hive_address, "KAON_SPARK_CONNECT": self.connect_url}
        if self.config.ui_port is not None:
            found["KAON_SPARK_UI"] = f"http://{HOST}:{self.config.ui_port}"
        return found

    def _prepare(self) -> None:
        _write_logging(self.state)

    def _command(self) -> Command:
        return _server(self.config, using(server_classes(), _ARCHIVE))

    def _probe(self) -> None:
        grpc_ready(f"{HOST}:{self.config.connect_port}")
        _open_hive_session(self.config)


def spark_home() -> Path:
    """The directory of the installed pyspark, which is a whole Spark."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise MissingTool("pyspark is not installed in this environment; `make setup` installs it")
    return Path(spec.origin).parent


def server_classes() -> Path:
    """Where a server's class archive is, made once by a server that runs for a moment."""
    return class_archives("spark", spark_home() / "jars", (_ARCHIVE,), _record_classes)


def _record_classes(scratch: Path) -> None:
    recorder = _Recorder(SparkConfig(state=scratch / "state"), scratch)
    recorder.start()
    try:
        _open_hive_session(recorder.config, "select count(*) from range(10) group by id % 2")
        _connect_query(recorder.connect_url)
    finally:
        recorder.stop()
    shutil.rmtree(recorder.state)


class _Recorder(SparkServer):
    """A server that writes the class archive when it ends."""

    def __init__(self, config: SparkConfig, archives: Path) -> None:
        super().__init__(config)
        self.start_seconds = RECORD_SECONDS
        self._archives = archives

    def _command(self) -> Command:
        return patient(_server(self.config, recording(self._archives, _ARCHIVE)))


def _open_hive_session(config: SparkConfig, query: str | None = None) -> None:
    from impala.dbapi import connect

    port = config.hive_port
    if not listening(port):
        raise NotReady(f"nothing listens at {HOST}:{port}")
    # The client has no time-out over HTTP.
    transport = (
        {"use_http_transport": True, "http_path": _HTTP_PATH}
        if config.hive_http
        else {"timeout": 30}
    )
    connection = connect(host=HOST, port=port, auth_mechanism="PLAIN", **transport)
    try:
        cursor = connection.cursor()
        if query is not None:
            cursor.execute(query)
            cursor.fetchall()
        cursor.close()
    finally:
        connection.close()


def _connect_query(url: str) -> None:
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(url).create()
    try:
        session.range(10).groupBy("id").count().collect()
    finally:
        session.stop()


def _server(config: SparkConfig, archive_option: str) -> Command:
    home = spark_home()
    settings = [
        word
        for key, value in {**_settings(config), **config.settings}.items()
        for word in ("--conf", f"{key}={value}")
    ]
    hive = {
        "hive.server2.thrift.port": str(config.hive_port),
        "hive.server2.thrift.bind.host": HOST,
        **(_over_http(config) if config.hive_http else {}),
    }
    argv = (
        *("java", archive_option, f"-Xmx{config.heap}", *_JVM),
        f"-Dlog4j2.configurationFile=file:{config.state}/log4j2.properties",
        f"-Dderby.system.home={config.state}",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "--add-modules=jdk.incubator.vector",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN_PACKAGES),
        *("--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED", "-cp", f"{home}/jars/*"),
        *(
            "org.apache.spark.deploy.SparkSubmit",
            "--master",
            f"local[{config.cores}]",
            "--class",
            _MAIN,
        ),
        *settings,
        "spark-internal",
        *(word for key, value in hive.items() for word in ("--hiveconf", f"{key}={value}")),
    )
    env = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": HOST, "PYSPARK_PYTHON": sys.executable}
    return Command(
        argv=argv, env=env, cwd=config.state, stop_signal=signal.SIGTERM, stop_seconds=15
    )


def _over_http(config: SparkConfig) -> dict[str, str]:
    """Return the settings of HiveServer2 in HTTP mode: each request shows its user, and no other name counts."""
    return {
        "hive.server2.transport.mode": "http",
        "hive.server2.thrift.http.port": str(config.hive_port),
        "hive.server2.thrift.http.path": _HTTP_PATH,
        "hive.server2.thrift.http.cookie.auth.enabled": "false",
        "hive.server2.allow.user.substitution": "false",
        # No connection ends with a client that is gone. One that waits asks twice a second.
        "hive.server2.idle.session.timeout": "120000",
        "hive.server2.session.check.interval": "10000",
        "hive.server2.idle.session.check.operation": "false",
    }


def _settings(config: SparkConfig) -> dict[str, str]:
    on_hdfs = {} if config.hdfs is None else {"spark.hadoop.fs.defaultFS": config.hdfs}
    ui = {} if config.ui_port is None else {"spark.ui.port": str(config.ui_port)}
    return {
        "spark.plugins": _CONNECT_PLUGIN,
        "spark.connect.grpc.binding.address": HOST,
        "spark.connect.grpc.binding.port": str(config.connect_port),
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.memory": config.heap,
        "spark.ui.enabled": str(config.ui_port is not None).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(config.state / "scratch"),
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": f"{config.hdfs or f'file://{config.state}'}/warehouse",
        "spark.hadoop.dfs.replication": "1",
        "spark.hadoop.dfs.blocksize": BLOCK_BYTES,
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={config.state}/metastore;create=true",
        # A status request waits this long for news; the default of 5 s would hold back a cancel on the same connection.
        "spark.hadoop.hive.server2.long.polling.timeout": "250ms",
        **on_hdfs,
        **ui,
    }


def _write_logging(state: Path) -> None:
    (state / "log4j2.properties").write_text(
        "rootLogger.level = warn\n"
        "rootLogger.appenderRef.stdout.ref = stdout\n"
        "appender.stdout.type = Console\n"
        "appender.stdout.name = stdout\n"
        "appender.stdout.layout.type = PatternLayout\n"
        "appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n\n"
    )
