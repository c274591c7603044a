"""Real HDFS: one NameNode and one DataNode."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from kaon_local.class_archives import RECORD_SECONDS, class_archives, patient, recording, using
from kaon_local.errors import NotReady, StartFailed
from kaon_local.fetch import jars
from kaon_local.ports import HOST, free_port
from kaon_local.process import Command
from kaon_local.server import Server

_JVM = ("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_FORMAT_SECONDS = 60
# HDFS writes nothing where a whole block has no room, and counts one for each file that is being written. The usual 128 MiB
# would refuse files of a few bytes on a disk that still has gigabytes.
BLOCK_BYTES = str(8 * 1024 * 1024)


@dataclass(frozen=True, kw_only=True)
class HdfsConfig:
    """One HDFS. The ports are chosen once, so a restarted node is where it was."""

    # Directory for data, configuration and log files; kept over restarts.
    state: Path
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    data_port: int = field(default_factory=free_port)
    data_http_port: int = field(default_factory=free_port)
    data_ipc_port: int = field(default_factory=free_port)
    # Where the nodes leave archives of their loaded classes when they end; None: they use those made before.
    record_classes_in: Path | None = None

    @property
    def uri(self) -> str:
        """`hdfs://host:port`, for Spark and Hive."""
        return f"hdfs://{HOST}:{self.port}"

    @property
    def http_address(self) -> str:
        """host:port of WebHDFS."""
        return f"{HOST}:{self.http_port}"

    @property
    def client_configuration(self) -> Path:
        """What HADOOP_CONF_DIR names for clients, written when a node starts."""
        return self.state / "client"


class NameNode(Server):
    """Healthy as soon as its web server answers; `Hdfs` waits for the rest."""

    def __init__(self, config: HdfsConfig, *, log: Path | None = None) -> None:
        super().__init__(name="hdfs-namenode", state=config.state, log=log)
        self.config = config

    def prepare(self) -> None:
        """Write the configuration and format an empty name directory."""
        _write_configuration(self.config)
        if not (self.state / "name" / "current" / "VERSION").exists():
            self._format()

    def _prepare(self) -> None:
        self.prepare()

    def _format(self) -> None:
        classes = () if self.config.record_classes_in else _classes(self.config, "namenode")
        argv = (*_java(self.config, classes), _NAMENODE, "-format", "-nonInteractive")
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False
        )
        if done.returncode != 0:
            raise StartFailed(f"HDFS could not be formatted: {done.stdout}{done.stderr}")

    def _command(self) -> Command:
        return _node(self.config, "namenode", _NAMENODE)

    def _probe(self) -> None:
        _system_state(self.config)


class DataNode(Server):
    """Healthy when the NameNode counts it as live and accepts writes."""

    def __init__(self, config: HdfsConfig, *, log: Path | None = None) -> None:
        super().__init__(name="hdfs-datanode", state=config.state, log=log)
        self.config = config

    def _prepare(self) -> None:
        _write_configuration(self.config)

    def _command(self) -> Command:
        return _node(self.config, "datanode", _DATANODE)

    def _probe(self) -> None:
        state = _system_state(self.config)
        if state["NumLiveDataNodes"] != 1:
            raise NotReady("the NameNode has no live DataNode yet")
        if state["FSState"] != "Operational":
            raise NotReady(f"HDFS is in state {state['FSState']}")
        if not state["CapacityRemaining"]:
            raise NotReady("the DataNode has not told of its room yet")


class Hdfs:
    """Both nodes as one server."""

    def __init__(self, config: HdfsConfig, *, name: str = "hdfs", logs: Path | None = None) -> None:
        self.name = name
        self.config = config
        self.namenode = NameNode(config, log=logs and logs / f"{name}-namenode.log")
        self.datanode = DataNode(config, log=logs and logs / f"{name}-datanode.log")
        self.started_in = 0.0
        self.notice = ""

    @property
    def uri(self) -> str:
        return self.config.uri

    def endpoints(self) -> dict[str, str]:
        return {"KAON_HDFS": self.config.uri, "KAON_WEBHDFS": self.config.http_address}

    def start(self) -> None:
        """Start both at once (the DataNode keeps calling until the NameNode answers); StartFailed if either does not come up."""
        self.namenode.prepare()
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(node.start) for node in (self.namenode, self.datanode)]
        try:
            for start in starts:
                start.result()
        except BaseException:
            self.stop()
            raise
        self.started_in = max(self.namenode.started_in, self.datanode.started_in)
        self.notice = "; ".join(filter(None, (self.namenode.notice, self.datanode.notice)))

    def stop(self) -> None:
        """End both nodes cleanly."""
        self.datanode.stop()
        self.namenode.stop()

    def kill(self) -> None:
        """SIGKILL both nodes; the state stays."""
        self.datanode.kill()
        self.namenode.kill()

    def restart(self) -> None:
        """Stop and start on the same state and addresses."""
        self.stop()
        self.start()

    @property
    def running(self) -> bool:
        return self.namenode.running and self.datanode.running

    @property
    def pids(self) -> tuple[int, ...]:
        return self.namenode.pids + self.datanode.pids

    @property
    def logs(self) -> tuple[Path, ...]:
        return (self.namenode.log, self.datanode.log)


def node_classes() -> Path:
    """Where each node has its class archive, made once by nodes that run for a moment."""
    return class_archives("hdfs", jars("hdfs"), ("namenode", "datanode"), _record_classes)


def _record_classes(scratch: Path) -> None:
    recorder = Hdfs(HdfsConfig(state=scratch / "state", record_classes_in=scratch))
    for node in (recorder.namenode, recorder.datanode):
        node.start_seconds = RECORD_SECONDS
    recorder.start()
    recorder.stop()
    shutil.rmtree(recorder.config.state)


def _classes(config: HdfsConfig, node: str) -> tuple[str, ...]:
    """The JVM's option that reads a node's class archive, or writes it."""
    if config.record_classes_in is not None:
        return (recording(config.record_classes_in, node),)
    return (using(node_classes(), node),)


def _java(config: HdfsConfig, classes: tuple[str, ...]) -> tuple[str, ...]:
    # An archive holds for the jars at the beginning of the path; the configuration's directory would end it.
    return ("java", *classes, *_JVM, "-cp", f"{jars('hdfs')}/*:{config.state / 'conf'}")


def _node(config: HdfsConfig, node: str, main: str) -> Command:
    argv = (*_java(config, _classes(config, node)), main)
    command = Command(argv=argv, cwd=config.state)
    return command if config.record_classes_in is None else patient(command)


def _system_state(config: HdfsConfig) -> Mapping[str, object]:
    """What the NameNode says of itself and its DataNodes; NotReady or OSError while it says nothing."""
    query = f"http://{config.http_address}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
    with urllib.request.urlopen(query, timeout=5) as answer:
        beans = json.load(answer)["beans"]
    if not beans:
        raise NotReady("the NameNode has not opened its file system yet")
    state: Mapping[str, object] = beans[0]
    return state


def _write_configuration(config: HdfsConfig) -> None:
    conf = config.state / "conf"
    # The jars hold no web pages; their servers want the folders nonetheless.
    for folder in ("hdfs", "datanode", "static"):
        (conf / "webapps" / folder).mkdir(parents=True, exist_ok=True)
    (conf / "log4j.properties").write_text(_LOG4J)
    _write_xml(
        conf / "core-site.xml",
        {"fs.defaultFS": config.uri, "hadoop.tmp.dir": str(config.state / "tmp")},
    )
    _write_xml(conf / "hdfs-site.xml", _settings(config))
    config.client_configuration.mkdir(exist_ok=True)
    _write_xml(config.client_configuration / "hdfs-site.xml", _CLIENT)


# What clients must know, too: they ask for the copies of their files and for the size of the blocks.
_CLIENT = {"dfs.replication": "1", "dfs.blocksize": BLOCK_BYTES}


def _settings(config: HdfsConfig) -> dict[str, str]:
    return {
        **_CLIENT,
        "dfs.safemode.extension": "0",
        # One user on one machine: whoever asks may.
        "dfs.permissions.enabled": "false",
        "dfs.namenode.rpc-address": f"{HOST}:{config.port}",
        "dfs.namenode.rpc-bind-host": HOST,
        "dfs.namenode.http-address": config.http_address,
        "dfs.namenode.name.dir": f"file://{config.state / 'name'}",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.datanode.address": f"{HOST}:{config.data_port}",
        "dfs.datanode.http.address": f"{HOST}:{config.data_http_port}",
        "dfs.datanode.ipc.address": f"{HOST}:{config.data_ipc_port}",
        "dfs.datanode.hostname": HOST,
        "dfs.datanode.data.dir": f"file://{config.state / 'data'}",
        # A DataNode that came before the NameNode tries again soon.
        "dfs.heartbeat.interval": "1",
        "ipc.client.connect.retry.interval": "100",
        "dfs.namenode.heartbeat.recheck-interval": "2000",
    }


def _write_xml(path: Path, settings: Mapping[str, str]) -> None:
    entries = "".join(
        f"  <property><name>{escape(key)}</name><value>{escape(value)}</value></property>\n"
        for key, value in settings.items()
    )
    path.write_text(f"<configuration>\n{entries}</configuration>\n")


_LOG4J = """\
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
"""
