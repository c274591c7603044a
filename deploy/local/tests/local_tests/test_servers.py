"""Real servers, started, killed and stopped."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from kaon_artifacts import ArtifactStore
from kaon_local import LocalError, StartFailed, Supervisor
from kaon_local import kafka as broker
from kaon_local.demo import develop
from kaon_local.errors import ForeignServer
from kaon_local.hdfs import Hdfs, HdfsConfig
from kaon_local.kafka import Kafka, KafkaConfig, check_cluster
from kaon_local.paths import DEPLOY
from kaon_local.ports import free_port
from kaon_local.probes import listens
from kaon_local.proxy import ProxyConfig, TcpProxy
from kaon_local.service import Service, ServiceConfig
from kaon_wire.topics import Catalogue


def http_server(state: Path, name: str, port: int, *, module: str = "http.server") -> Service:
    return Service(
        ServiceConfig(
            name=name,
            state=state / name,
            module=module,
            probe=partial(listens, port),
            arguments=(str(port), "--bind", "127.0.0.1"),
            endpoints={f"{name.upper()}_PORT": str(port)},
        )
    )


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.real
def test_components_start_in_order_and_stop_in_reverse_and_only_what_is_named_is_killed(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    supervisor = Supervisor(report=lambda line: said.append(line.split()[0]))
    first = supervisor.add(http_server(tmp_path, "first", free_port()))
    second = supervisor.add(http_server(tmp_path, "second", free_port()), after=[first])
    supervisor.start()
    pids = [pid for component in supervisor.components for pid in component.pids]
    supervisor.stop(kill=[first])
    assert said == ["first", "second", "second", "first"]
    assert (first.exit_code, second.exit_code) == (-signal.SIGKILL, -signal.SIGTERM)
    assert all(gone(pid) for pid in pids)


@pytest.mark.real
def test_a_component_that_cannot_start_is_told_with_its_log_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    supervisor = Supervisor()
    good = supervisor.add(http_server(tmp_path, "good", free_port()))
    supervisor.add(http_server(tmp_path, "bad", free_port(), module="no_such_module"), after=[good])
    with pytest.raises(StartFailed, match="no_such_module"):
        supervisor.start()
    assert not good.running


def test_two_components_of_one_name_are_refused(tmp_path: Path) -> None:
    supervisor = Supervisor()
    supervisor.add(http_server(tmp_path, "same", free_port()))
    with pytest.raises(LocalError, match="two components are called same"):
        supervisor.add(http_server(tmp_path, "same", free_port()))


def test_nothing_is_left_when_the_supervisor_itself_is_killed(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import sys, time; from pathlib import Path; from functools import partial;"
        "from kaon_local.service import Service, ServiceConfig; from kaon_local.probes import listens;"
        f"s = Service(ServiceConfig(name='s', state=Path({str(tmp_path)!r}), module='http.server', probe=partial(listens, {port}),"
        f"arguments=('{port}',))); s.start(); print(s.pid, flush=True); time.sleep(100)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until(lambda: gone(pid))


def test_a_system_does_not_take_anothers_servers_for_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ports = {"api_port": taken, "publisher_port": 0, "console_port": 0, "view_port": 0}
        with pytest.raises(ForeignServer, match=f"should: coordinator 127.0.0.1:{taken}. End it"):
            develop(runners=1, docker=False, **ports)


@pytest.mark.real
def test_kafka_keeps_its_topics_over_kill_and_restart_and_is_told_from_another_cluster(
    tmp_path: Path,
) -> None:
    kafka = Kafka(
        KafkaConfig(state=tmp_path / "kafka", topics=Catalogue(run_partitions=2).topics())
    )
    kafka.start()
    try:
        kafka.kill()
        assert not kafka.running
        kafka.start()
        check_cluster(kafka.address, kafka.config.cluster_id)
        assert not kafka.notice, "its JVM has taken the archive of its classes"
        with pytest.raises(ForeignServer):
            check_cluster(kafka.address, "AAAAAAAAAAAAAAAAAAAAAA")
    finally:
        kafka.stop()
    assert not kafka.running


@pytest.mark.real
def test_a_broker_that_cannot_use_the_archive_of_its_classes_starts_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broker.jsa").write_text("not for this JVM")
    monkeypatch.setattr(broker, "broker_classes", lambda: tmp_path)
    kafka = Kafka(KafkaConfig(state=tmp_path / "kafka"))
    kafka.start()
    try:
        assert f"archive of its classes {tmp_path}/broker.jsa" in kafka.notice
        assert kafka.notice in kafka.log.read_text()
    finally:
        kafka.stop()


@pytest.mark.real
def test_hdfs_starts_takes_a_file_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hdfs = Hdfs(HdfsConfig(state=tmp_path / "hdfs"))
    hdfs.start()
    try:
        monkeypatch.setenv("KAON_WEBHDFS", hdfs.endpoints()["KAON_WEBHDFS"])
        store = ArtifactStore(f"{hdfs.uri}/artifacts")
        artifact = store.put_bytes(b"kept on HDFS")
        assert store.put_bytes(b"kept on HDFS") == artifact
        assert store.fetch(artifact, tmp_path / "copy").read_bytes() == b"kept on HDFS"
        store.delete(artifact)
        assert not store.exists(artifact)
        assert not hdfs.notice, "their JVMs have taken the archives of their classes"
    finally:
        hdfs.stop()


@pytest.mark.real
def test_a_cut_proxy_drops_its_connections_and_heals(tmp_path: Path) -> None:
    upstream = http_server(tmp_path, "upstream", free_port())
    upstream.start()
    proxy = TcpProxy(ProxyConfig(upstream_port=int(upstream.config.arguments[0])))
    proxy.start()
    try:
        assert answers(proxy.config.port)
        proxy.cut()
        assert not answers(proxy.config.port)
        proxy.heal()
        assert answers(proxy.config.port)
    finally:
        proxy.stop()
        upstream.stop()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(4) == b"HTTP"
    except OSError:
        return False


def install_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", DEPLOY / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["install"] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_missing_is_listed_and_only_what_is_required_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    install = install_module()
    wanted = install.Need("a wish", ("wish",), lambda: False, without="what it is wished for")
    needed = install.Need("a tool", ("tool-a", "tool-b"), lambda: False)
    assert install.list_missing([wanted]) == 0
    assert install.list_missing([wanted, needed]) == 1
    assert "tool-a tool-b" in capsys.readouterr().out
