"""Docker steps that serve others, on a real engine."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catalogue_runs
import docker
import pytest
from engines import CANCEL_SECONDS, content, error, outputs, progress, run, soon, texts, user_error
from harness import MemorySystem, request

from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, step_types_of
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

pytestmark = pytest.mark.real

# Ready half a second after its start; says when it is asked to stop.
SERVER = """
import http.server, signal, sys, time
print("starts", flush=True)
def stop(number, frame):
    print("asked to stop", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
time.sleep(0.5)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
    def do_POST(self):
        sys.exit(3)
http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
ASK = """
import os, sys, urllib.request
told = urllib.request.urlopen("http://" + os.environ["KAON_INPUT_WEB"]).read()
open(os.environ["KAON_STEP_DIR"] + "/artifacts/told", "wb").write(told)
"""
READY = ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080')"]


def _system(work: Path, engine: docker.DockerClient, **settings: Any) -> MemorySystem:
    host = engine.api.base_url.replace("http+docker://localhost", "unix:///var/run/docker.sock")
    return MemorySystem(work, docker_host=host, renew_seconds=0.2, **settings)


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient
) -> Iterator[MemorySystem]:
    with _system(tmp_path_factory.mktemp("serving"), engine) as running:
        yield running


def server(image: str, program: str = SERVER, **settings: object) -> step_pb2.StepRequest:
    config = {"image": image, "argv": ["python3", "-c", program], "ready": READY}
    return request(
        "docker",
        {**config, "publish": {"web": 8080}, **settings},
        outputs={"web": "string"},
        serves=True,
    )


def served(system: MemorySystem, wanted: step_pb2.StepRequest) -> str:
    """The address at which the step says that it serves."""
    found = system.wait(
        lambda: [
            event
            for event in tuple(system.events)
            if event.key == wanted.key and event.WhichOneof("event") in ("serves", "failed")
        ],
        60,
    )
    assert found[0].WhichOneof("event") == "serves", found[0]
    return str(json.loads(found[0].serves.outputs_json["web"]))


def stopped(system: MemorySystem, engine: docker.DockerClient, key: step_pb2.StepKey) -> None:
    """Asks the step to stop, which leaves no container."""
    system.revoke(key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(key).WhichOneof("event") == "stopped"
    assert containers(engine, key.path) == []


def containers(engine: docker.DockerClient, step: str) -> list[str]:
    found = engine.api.containers(all=True, filters={"label": f"kaon.step={step}"})
    return [str(each["Names"][0]) for each in found]


def asked(address: str) -> bytes:
    with urllib.request.urlopen(f"http://{address}", timeout=10) as answer:
        return bytes(answer.read())


def test_it_serves_at_a_published_port_when_it_is_ready_and_is_asked_to_stop(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    wanted = server(image)
    system.release(wanted)
    address = served(system, wanted)
    assert address.startswith("127.0.0.1:")
    assert asked(address) == b"hello"
    stopped(system, engine, wanted.key)
    assert {"starts", "asked to stop"} <= set(texts(system, wanted))


def test_two_of_one_image_have_ports_of_their_own(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    both = [server(image), server(image)]
    system.release(*both)
    addresses = {served(system, each) for each in both}
    assert [asked(address) for address in addresses] == [b"hello", b"hello"]
    for each in both:
        stopped(system, engine, each.key)


def test_with_sidecars_the_port_is_that_of_the_network_that_all_share(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    beside = {"name": "late", "image": image, "argv": ["sleep", "600"]}
    wanted = server(image, sidecars=[beside])
    system.release(wanted)
    assert asked(served(system, wanted)) == b"hello"
    stopped(system, engine, wanted.key)


def test_one_that_ends_by_itself_fails(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    wanted = server(image)
    system.release(wanted)
    killer = urllib.request.Request(f"http://{served(system, wanted)}", method="POST")
    with pytest.raises(OSError, match=r"closed|reset"):
        urllib.request.urlopen(killer, timeout=10)
    assert error(system.final(wanted.key)).message == "the step ended with exit code 3"
    assert containers(engine, wanted.key.path) == []


def test_one_that_ends_before_it_is_ready_has_not_served(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    failed = server(image, "raise SystemExit(4)")
    assert error(run(system, failed)).message == "the step ended with exit code 4"
    ended = server(image, "print('nothing to do')")
    assert not run(system, ended).succeeded.outputs_json
    assert "serves" not in system.of(failed.key) + system.of(ended.key)
    assert containers(engine, failed.key.path) + containers(engine, ended.key.path) == []


def test_one_that_does_not_become_ready_is_stopped_and_says_what_its_check_says(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    wanted = server(image, ready=["sh", "-c", "echo not yet; false"], ready_ms=1500)
    told = user_error(run(system, wanted))
    assert "the container was not ready within 1.5 s; its check says: not yet" in told
    assert "asked to stop" in texts(system, wanted)
    assert containers(engine, wanted.key.path) == []


def test_a_cancel_ends_one_that_is_not_ready_yet(
    system: MemorySystem, image: str, engine: docker.DockerClient
) -> None:
    wanted = server(image, ready=["false"])
    system.release(wanted)
    soon(
        lambda: "waiting until it is ready" in progress(system, wanted), 60, "readiness is awaited"
    )
    stopped(system, engine, wanted.key)
    assert "serves" not in system.of(wanted.key)


@pytest.fixture
def network(engine: docker.DockerClient) -> Iterator[str]:
    name = f"kaon-test-{uuid.uuid4().hex[:8]}"
    made = engine.networks.create(name)
    yield name
    made.remove()


@pytest.mark.parametrize("beside", [[], [{"name": "late", "argv": ["sleep", "600"]}]])
def test_a_runner_in_a_container_names_the_container_in_its_network(
    tmp_path: Path,
    image: str,
    engine: docker.DockerClient,
    network: str,
    beside: list[dict[str, Any]],
) -> None:
    settings = {"runner_address": "network", "docker_networks": ("bridge", network)}
    with _system(tmp_path, engine, **settings) as system:
        wanted = server(image, sidecars=[{**each, "image": image} for each in beside])
        system.release(wanted)
        address = served(system, wanted)
        for name in containers(engine, wanted.key.path):
            assert not engine.api.inspect_container(name)["HostConfig"]["PortBindings"]
        client = {"image": image, "argv": ["python3", "-c", ASK], "network": network}
        told = request("docker", client, inputs={"web": address}, outputs={"told": "text"})
        assert content(system, outputs(run(system, told))["told"]) == b"hello"
        stopped(system, engine, wanted.key)


def test_an_internal_network_publishes_nothing_and_the_step_says_so(
    tmp_path: Path, image: str, engine: docker.DockerClient
) -> None:
    made = engine.networks.create(f"kaon-test-{uuid.uuid4().hex[:8]}", internal=True)
    try:
        with _system(tmp_path, engine, docker_networks=(made.name,)) as system:
            assert "an internal network publishes none" in user_error(run(system, server(image)))
    finally:
        made.remove()


def test_a_killed_runner_leaves_no_server(
    system: MemorySystem, image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    path = f"lone-{uuid.uuid4().hex[:8]}"
    wanted = server(image)
    program = str(Path(__file__).with_name("lone_runner.py"))
    host = system.settings.docker_host
    with subprocess.Popen(
        [
            *(
                sys.executable,
                program,
                str(tmp_path),
                host,
                "docker",
                wanted.spec.config_json,
                path,
            ),
            *("--serves", "web"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    ) as runner:
        assert runner.stdout is not None
        try:
            assert "serves\n" in runner.stdout
            assert containers(engine, path)
        finally:
            runner.kill()
    soon(lambda: not containers(engine, path), CANCEL_SECONDS, "the container is gone")


def test_a_server_of_a_run_is_asked_by_a_step_and_ends_with_the_run(
    tmp_path: Path, web_server: str, engine: docker.DockerClient
) -> None:
    text = (catalogue_runs.CATALOGUE / "argo" / "daemon_nginx.py").read_text()
    assert text.count("nginxinc/nginx-unprivileged:1.29-alpine") == 1
    path = tmp_path / "daemon_nginx_here.py"
    path.write_text(text.replace("nginxinc/nginx-unprivileged:1.29-alpine", web_server))
    entry = catalogue_runs.read(path)
    settings = EmbeddedSettings(
        state=tmp_path / "state", slots=2, step_types=step_types_of(entry.workflow)
    )
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        (found,) = catalogue_runs.perform(client, entry, tmp_path)
        catalogue_runs.compare(entry.runs[0], found)
        run_id = found.run.run.run_id
        label = {"label": f"kaon.run={run_id}"}
        assert engine.api.containers(all=True, filters=label) == []
