"""Docker steps on a real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import psutil
import pytest
from engines import (
    CANCEL_SECONDS,
    artifact,
    content,
    error,
    outputs,
    platform_error,
    progress,
    run,
    soon,
    texts,
    user_error,
)
from harness import MemorySystem, request

from kaon import load_workflow
from kaonapi.runner.v1 import runner_pb2

pytestmark = pytest.mark.real

SIDECAR_EXAMPLE = Path(__file__).parents[5] / "examples/catalogue/argo/sidecar_nginx.py"

PROTOCOL = """
import json, os, sys
step = os.environ["KAON_STEP_DIR"]
context = json.load(open(step + "/context.json"))
with open(step + "/events", "w") as events:
    events.write(json.dumps({"kind": "progress", "fraction": 0.5, "message": "inside"}) + "\\n")
one = open(context["inputs"]["data"]["artifact"]["path"]).read()
many = [open(each["artifact"]["path"]).read() for each in context["inputs"]["parts"]]
assert os.environ["KAON_INPUT_DATA"] == "/kaon/inputs/data/data"
assert os.path.samefile(context["paths"]["work"], os.getcwd())
json.dump([one, *many], open(context["paths"]["outputs"] + "/texts.json", "w"))
open(context["paths"]["artifacts"] + "/model", "w").write(one)
print("to stdout", flush=True)
print("to stderr", file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient
) -> Iterator[MemorySystem]:
    host = engine.api.base_url.replace("http+docker://localhost", "unix:///var/run/docker.sock")
    with MemorySystem(tmp_path_factory.mktemp("docker"), docker_host=host) as running:
        yield running


@pytest.fixture
def left(system: MemorySystem, engine: docker.DockerClient) -> Iterator[None]:
    """Fails when a step of this module leaves a container; the engine may have others' as well."""
    yield
    assert [
        path for path in {event.key.path for event in system.events} if _containers(engine, path)
    ] == []


def _containers(engine: docker.DockerClient, step: str) -> list[str]:
    found = engine.api.containers(all=True, filters={"label": f"kaon.step={step}"})
    return [str(each["Names"][0]) for each in found]


def test_a_container_follows_the_step_protocol(
    system: MemorySystem, image: str, tmp_path: Path, left: None
) -> None:
    for name in ("data", "part"):
        (tmp_path / name).write_text(f"a {name}")
    part = artifact(system, tmp_path / "part", "file")
    wanted = request(
        "docker",
        {"image": image, "argv": ["python3", "-c", PROTOCOL]},
        inputs={"data": artifact(system, tmp_path / "data", "dataset"), "parts": [part, part]},
        outputs={"texts": "list", "model": "model"},
    )
    began = time.monotonic()
    found = outputs(run(system, wanted))
    print(f"docker: {time.monotonic() - began:.2f} s")
    assert found["texts"] == ["a data", "a part", "a part"]
    assert content(system, found["model"]) == b"a data"
    assert progress(system, wanted) == ["inside"]
    assert {"to stdout", "to stderr"} <= set(texts(system, wanted))


def test_an_exit_code_is_the_steps(system: MemorySystem, image: str, left: None) -> None:
    wanted = request(
        "docker", {"image": image, "argv": ["sh", "-c", "echo out of luck >&2; exit 7"]}
    )
    failed = error(run(system, wanted))
    assert (failed.type, failed.message) == ("ExitCode", "the step ended with exit code 7")
    assert "out of luck" in failed.details


def test_what_a_program_says_about_its_failure_is_the_error(
    system: MemorySystem, image: str, left: None
) -> None:
    told = json.dumps(
        {"kind": "error", "type": "NoModel", "message": "nothing to learn from", "user": True}
    )
    argv = ["sh", "-c", f"echo '{told}' > $KAON_STEP_DIR/events; exit 1"]
    failed = error(run(system, request("docker", {"image": image, "argv": argv})))
    assert (failed.type, failed.message) == ("NoModel", "nothing to learn from")


def test_too_much_memory_is_named(system: MemorySystem, image: str, left: None) -> None:
    wanted = request(
        "docker",
        {
            "image": image,
            "argv": ["python3", "-c", "bytearray(300_000_000)"],
            "memory_bytes": 50_000_000,
        },
    )
    event = run(system, wanted)
    assert "more memory than its limit of 50000000 bytes" in user_error(event)
    assert event.failed.error.type == "OutOfMemory"
    # Without a setting of its own the container gets what the step asks for.
    wanted = request(
        "docker",
        {"image": image, "argv": ["python3", "-c", "bytearray(300_000_000)"]},
        resources={"memory_bytes": 50_000_000, "cpu_milli": 500},
    )
    assert "more memory than its limit of 50000000 bytes" in user_error(run(system, wanted))


def test_a_program_that_is_not_in_the_image_is_named(
    system: MemorySystem, image: str, left: None
) -> None:
    failed = error(run(system, request("docker", {"image": image, "argv": ["no-such-program"]})))
    assert (failed.type, failed.message) == ("ExitCode", "the step ended with exit code 127")
    assert "no-such-program" in failed.details


def test_an_image_that_is_not_there_is_named(system: MemorySystem, left: None) -> None:
    wanted = request("docker", {"image": "kaon/no-such-image:1", "pull": "never"})
    assert 'image kaon/no-such-image:1 is not on this machine, and "pull" is "never"' in user_error(
        run(system, wanted)
    )


def test_there_is_no_network_unless_it_is_asked_for(
    system: MemorySystem, image: str, left: None
) -> None:
    argv = ["sh", "-c", "ls /sys/class/net > $KAON_STEP_DIR/artifacts/net"]
    wanted = request("docker", {"image": image, "argv": argv}, outputs={"net": "text"})
    assert content(system, outputs(run(system, wanted))["net"]).split() == [b"lo"]


def test_a_cancel_removes_the_container(
    system: MemorySystem, image: str, engine: docker.DockerClient, left: None
) -> None:
    argv = ["sh", "-c", "trap '' TERM; echo up; while true; do sleep 1; done"]
    wanted = request("docker", {"image": image, "argv": argv})
    system.release(wanted)
    soon(lambda: "up" in texts(system, wanted), 30, "the container runs")
    began = time.monotonic()
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert _containers(engine, wanted.key.path) == []
    assert time.monotonic() - began < CANCEL_SECONDS
    print(f"docker: cancelled in {time.monotonic() - began:.2f} s")


def test_a_killed_step_leaves_no_container(
    system: MemorySystem, image: str, engine: docker.DockerClient, left: None
) -> None:
    wanted = request("docker", {"image": image, "argv": ["sleep", "600"]})
    system.release(wanted)
    soon(lambda: _containers(engine, wanted.key.path), 30, "the container is there")
    victims = [
        each
        for each in psutil.Process().children(recursive=True)
        if "kaon_runner.children.docker:run" in each.cmdline()
    ]
    assert len(victims) == 1
    os.kill(victims[0].pid, signal.SIGKILL)
    assert error(system.final(wanted.key)).type == "Signal"
    assert _containers(engine, wanted.key.path) == []


def test_a_killed_runner_leaves_no_container(
    system: MemorySystem, image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    path = f"lone-{uuid.uuid4().hex[:8]}"
    config = json.dumps({"image": image, "argv": ["sleep", "600"]})
    program = str(Path(__file__).with_name("lone_runner.py"))
    host = system.settings.docker_host
    runner = subprocess.Popen(
        [sys.executable, program, str(tmp_path), host, "docker", config, path]
    )
    try:
        soon(lambda: _containers(engine, path), 60, "the container is there")
    finally:
        runner.kill()
        runner.wait()
    soon(lambda: not _containers(engine, path), CANCEL_SECONDS, "the container is gone")


@pytest.fixture
def lost_system(tmp_path: Path, system: MemorySystem) -> Iterator[MemorySystem]:
    """A runner whose engine goes away after it was found."""
    link = tmp_path / "docker.sock"
    link.symlink_to("/var/run/docker.sock")
    with MemorySystem(tmp_path / "lost", docker_host=f"unix://{link}") as running:
        link.unlink()
        yield running


def test_an_engine_that_does_not_answer_is_a_fault_of_the_platform(
    lost_system: MemorySystem, image: str
) -> None:
    assert "no Docker engine answers" in platform_error(
        run(lost_system, request("docker", {"image": image}))
    )


# A server that is ready half a second after its start: until then its check fails.
SERVER = """
import http.server, os, sys, time
print("starts", flush=True)
time.sleep(0.5)
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GREETING"].encode())
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
ASK = """
import os, sys, urllib.request
told = urllib.request.urlopen("http://127.0.0.1:8080").read()
open(os.environ["KAON_STEP_DIR"] + "/artifacts/told", "wb").write(told)
"""
READY = ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080')"]


def beside(image: str, program: str, **settings: object) -> dict[str, object]:
    """A sidecar."""
    return {"name": "web", "image": image, "argv": ["python3", "-c", program], **settings}


def test_a_step_talks_to_its_sidecars_when_they_are_ready(
    system: MemorySystem, image: str, left: None
) -> None:
    web = beside(image, SERVER, env={"GREETING": "hello ${who}"}, ready=READY)
    # It shares the network with the first one, and is its client, too.
    late = {"name": "late", "image": image, "argv": ["sleep", "600"], "ready": READY}
    wanted = request(
        "docker",
        {"image": image, "argv": ["python3", "-c", ASK], "sidecars": [web, late]},
        inputs={"who": "you"},
        outputs={"told": "text"},
    )
    assert content(system, outputs(run(system, wanted))["told"]) == b"hello you"
    assert progress(system, wanted)[:2] == ["waiting for sidecar web", "waiting for sidecar late"]
    assert "[web] starts" in texts(system, wanted)


def test_the_example_of_a_web_server_beside_a_step_runs(
    system: MemorySystem, web_server: str, left: None
) -> None:
    block = load_workflow(SIDECAR_EXAMPLE).definition().body.blocks[0]
    config = json.loads(block.step.config_json)
    for each in (config, *config["sidecars"]):
        assert each["image"] == "nginx:1.29-alpine"
        each["image"] = web_server
    wanted = request(block.step.type, config, outputs={"page": "text"})
    assert content(system, outputs(run(system, wanted))["page"]) == b"Welcome\n"


@pytest.mark.parametrize(
    ("program", "settings", "problem"),
    [
        ("raise SystemExit(3)", {"ready": READY}, "web ended with exit code 3 before it was ready"),
        (
            "import time; time.sleep(600)",
            {"ready": ["sh", "-c", "echo not yet; false"], "ready_ms": 1500},
            "web was not ready within 1.5 s; its check says: not yet",
        ),
    ],
)
def test_a_sidecar_that_does_not_become_ready_is_named(
    system: MemorySystem,
    image: str,
    left: None,
    program: str,
    settings: dict[str, object],
    problem: str,
) -> None:
    config = {"image": image, "sidecars": [beside(image, program, **settings)]}
    assert problem in user_error(run(system, request("docker", config)))


def test_a_step_that_fails_or_is_killed_leaves_no_sidecar(
    system: MemorySystem, image: str, engine: docker.DockerClient, left: None
) -> None:
    web = beside(image, SERVER, env={"GREETING": "hello"}, ready=READY)
    wanted = request("docker", {"image": image, "argv": ["false"], "sidecars": [web]})
    assert error(run(system, wanted)).type == "ExitCode"
    assert _containers(engine, wanted.key.path) == []
    config = {"image": image, "argv": ["sleep", "600"], "sidecars": [web], "pids": 40}
    wanted = request("docker", config)
    system.release(wanted)
    soon(lambda: len(_containers(engine, wanted.key.path)) == 2, 60, "both containers are there")
    for name in _containers(engine, wanted.key.path):
        bounds = engine.api.inspect_container(name)["HostConfig"]
        assert (bounds["PidsLimit"], bounds["SecurityOpt"]) == (40, ["no-new-privileges"])
    (victim,) = [
        each
        for each in psutil.Process().children(recursive=True)
        if "kaon_runner.children.docker:run" in each.cmdline()
    ]
    os.kill(victim.pid, signal.SIGKILL)
    assert error(system.final(wanted.key)).type == "Signal"
    assert _containers(engine, wanted.key.path) == []


def test_a_cancel_ends_a_sidecar_that_is_waited_for(
    system: MemorySystem, image: str, engine: docker.DockerClient, left: None
) -> None:
    web = beside(image, "import time; time.sleep(600)", ready=["false"])
    wanted = request("docker", {"image": image, "sidecars": [web]})
    system.release(wanted)
    soon(
        lambda: "waiting for sidecar web" in progress(system, wanted), 60, "the sidecar is awaited"
    )
    system.revoke(wanted.key, runner_pb2.REVOKE_REASON_CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert _containers(engine, wanted.key.path) == []
