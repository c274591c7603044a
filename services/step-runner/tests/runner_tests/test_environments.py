"""Steps in environments of their own, workers that are warm beforehand, and when workers are replaced."""

from __future__ import annotations

import json
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, request, shell
from processes import wait_gone

from kaon_artifacts import ArtifactStore
from kaon_runner.capabilities.machine import gpu_model, java_version
from kaon_runner.preparation.environments import Environments, _digest
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

BOTH = pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
CODE = """
import greeting
from kaon.step import StepContext

def greet(context: StepContext):
    return {"text": greeting.TEXT}
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        yield system


def wheel(path: Path, version: str, text: str) -> Path:
    """A package `greeting` with one module."""
    info = f"greeting-{version}.dist-info"
    file = path / f"greeting-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("greeting.py", f"TEXT = {text!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            f"{info}/RECORD", f"greeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
        )
    return file


def bundle(store: str, path: Path, requirements: str, packages: tuple[Path, ...] = ()) -> str:
    archive = path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as kept:
        kept.writestr("greeter.py", CODE)
        kept.writestr("needs.txt", requirements)
        for package in packages:
            kept.write(package, package.name)
    return ArtifactStore(store).put_file(archive, "file").digest


def greet(code: str, isolation: str = "WARM") -> step_pb2.StepRequest:
    return request(
        "python",
        {"entry": "greeter:greet"},
        outputs={"text": "string"},
        bundle=code,
        requirements="needs.txt",
        isolation=isolation,
    )


def run(system: MemorySystem, wanted: step_pb2.StepRequest) -> step_pb2.StepEvent:
    system.release(wanted)
    return system.final(wanted.key, 90)


@BOTH
def test_steps_find_what_their_requirements_file_names_each_its_own_version(
    system: MemorySystem, tmp_path: Path, isolation: str
) -> None:
    store = system.settings.artifacts
    for version, text in (("1.0", "hello"), ("2.0", "good day")):
        needed = f"./greeting-{version}-py3-none-any.whl\n"
        code = bundle(store, tmp_path, needed, (wheel(tmp_path, version, text),))
        event = run(system, greet(code, isolation))
        assert json.loads(event.succeeded.outputs_json["text"]) == text, event
    built = system.settings.cache_directory / "environments"
    assert len([path for path in built.iterdir() if path.is_dir()]) == 2


def test_what_cannot_be_built_fails_the_step_with_uvs_message(
    system: MemorySystem, tmp_path: Path
) -> None:
    code = bundle(system.settings.artifacts, tmp_path, "./no-such-package-1.0-py3-none-any.whl\n")
    wanted = greet(code)
    error = run(system, wanted).failed.error
    assert (error.type, error.error_class) == ("Environment", step_pb2.ERROR_CLASS_USER)
    assert "needs.txt" in error.message
    assert "no-such-package" in error.message
    # While it was built, the step's log said so.
    assert "environment of needs.txt is being built" in system.lines(wanted.key)[0].text
    # So did a heartbeat, at once, without the lease's token; the one after the end says so no longer.
    (build,) = next(beat.building for beat in system.heartbeats if beat.building)
    assert (build.key.path, build.requirements_file) == (wanted.key.path, "needs.txt")
    assert build.HasField("start_time")
    assert not build.key.lease_token
    system.command(report=runner_pb2.ReportRunner(pool_epoch=1))
    system.wait(lambda: not system.heartbeats[-1].building)
    assert not [
        path
        for path in (system.settings.cache_directory / "environments").iterdir()
        if path.is_dir()
    ]


def test_a_type_without_environments_refuses_a_requirements_file(system: MemorySystem) -> None:
    wanted = shell("true")
    wanted.spec.requirements_file = "needs.txt"
    assert run(system, wanted).failed.error.type == "InvalidConfig"


def test_a_runner_that_leaves_does_not_wait_for_an_environment(tmp_path: Path) -> None:
    store, archive = (tmp_path / "store").as_uri(), tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as kept:
        kept.writestr("needs.txt", "./slow\n")
        kept.writestr(
            "slow/pyproject.toml",
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        )
        building = f"open({str(tmp_path / 'building')!r}, 'w').close(); time.sleep(60)"
        kept.writestr("slow/backend.py", f"import time\ndef build_wheel(*_): {building}\n")
    code = ArtifactStore(store).put_file(archive, "file").digest
    with MemorySystem(tmp_path / "work", artifacts=store) as system:
        wanted = greet(code)
        system.release(wanted)
        system.wait((tmp_path / "building").exists)
        began = time.monotonic()
        system.runner.stop(0.2)
        assert time.monotonic() - began < 10
        assert system.final(wanted.key).handed_back.reason == "the runner is leaving"


def test_an_environment_is_built_once_however_many_ask_for_it(tmp_path: Path) -> None:
    needed = tmp_path / "needs.txt"
    needed.write_text(f"./{wheel(tmp_path, '1.0', 'hello').name}\n")
    found: list[str] = []
    builders = [Environments(tmp_path / "cache", python=sys.executable) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda b=b: found.append(b.python_of(needed))) for b in builders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_change_in_an_included_file_makes_another_environment(tmp_path: Path) -> None:
    wheel(tmp_path, "1.0", "hello")
    included, needed = tmp_path / "base.txt", tmp_path / "needs.txt"
    needed.write_text("-r base.txt\n")
    environments = Environments(tmp_path / "cache", python=sys.executable)
    included.write_text("./greeting-1.0-py3-none-any.whl\n")
    first = environments.python_of(needed)
    included.write_text("# nothing\n")
    assert environments.python_of(needed) != first


# --- warm workers -----------------------------------------------------------------------------------------------------


def test_a_worker_waits_for_the_bundles_that_the_settings_name(tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    code = bundle(store, tmp_path, "")
    absent = "sha256:" + "0" * 64
    with MemorySystem(tmp_path / "work", artifacts=store, prewarm=(code, absent)) as system:
        assert list(system.heartbeats[0].warm_bundles) == [code]
        wanted = request("python", {"entry": "os:getpid"}, outputs={"out": "int"}, bundle=code)
        assert run(system, wanted).WhichOneof("event") == "succeeded"


def pid_of(system: MemorySystem, wanted: step_pb2.StepRequest) -> int:
    return int(json.loads(run(system, wanted).succeeded.outputs_json["pid"]))


def test_a_worker_is_replaced_after_its_number_of_steps(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1, worker_steps=2) as system:
        pids = [pid_of(system, python("whoami", outputs={"pid": "int"})) for _ in range(6)]
    assert len(set(pids)) == 3


def test_a_worker_that_keeps_much_memory_is_replaced(tmp_path: Path) -> None:
    with MemorySystem(tmp_path / "work", slots=1, worker_memory_bytes=100 * 2**20) as system:
        first = pid_of(system, python("whoami", outputs={"pid": "int"}))
        assert (
            pid_of(system, python("hoard", inputs={"megabytes": 150}, outputs={"pid": "int"}))
            == first
        )
        assert pid_of(system, python("whoami", outputs={"pid": "int"})) != first


def test_a_worker_that_nothing_comes_for_is_ended_and_one_that_waits_for_its_first_step_is_not(
    tmp_path: Path,
) -> None:
    store = (tmp_path / "store").as_uri()
    code = bundle(store, tmp_path, "")
    with MemorySystem(
        tmp_path / "work",
        slots=1,
        artifacts=store,
        prewarm=(code,),
        worker_idle_seconds=0.3,
        renew_seconds=0.1,
    ) as system:
        wait_gone(pid_of(system, python("whoami", outputs={"pid": "int"})), 5)
        assert list(system.heartbeats[-1].warm_bundles) == [code]


# --- what the machine has ---------------------------------------------------------------------------------------------


def test_the_hello_tells_what_the_machine_has(system: MemorySystem) -> None:
    labels = system.heartbeats[0].labels
    assert {"arch", "os", "cpus", "memory-gib", "gpu", "python"} <= labels.keys()
    assert int(labels["memory-gib"]) >= 1


def test_the_version_of_a_java_is_read_from_its_release_file(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "release").write_text('IMPLEMENTOR="x"\nJAVA_VERSION="17.0.13"\n')
    assert java_version(str(tmp_path / "bin" / "java")) == "17"
    (tmp_path / "release").write_text('JAVA_VERSION="1.8.0_412"\n')
    assert java_version(str(tmp_path / "bin" / "java")) == "8"
    assert java_version(None) == ""


def test_the_model_of_a_graphics_processor_becomes_a_label(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-80GB'\n")
    tool.chmod(0o755)
    assert gpu_model({"PATH": f"{tmp_path}:/bin:/usr/bin"}) == "nvidia-a100-sxm4-80gb"
    assert gpu_model({"PATH": str(tmp_path / "absent")}) == ""


@pytest.mark.parametrize(
    "line",
    [
        "./vendor/lib",
        "vendor/lib",
        "-e ./vendor/lib",
        "--editable=vendor/lib",
        "lib @ ./vendor/lib",
        "./vendor/lib[fast] ; python_version > '3'",
        "vendor/lib/lib.py",
        "--find-links vendor",
        "-fvendor/lib",
        "-r more.txt",
        "lib @ file://ROOT/vendor/lib",
    ],
)
def test_a_new_version_of_a_vendored_library_is_another_environment(
    tmp_path: Path, line: str
) -> None:
    names = []
    for version in ("1", "2", "2"):
        bundle = tmp_path / f"bundle-{len(names)}"
        (bundle / "vendor" / "lib").mkdir(parents=True)
        (bundle / "vendor" / "lib" / "lib.py").write_text(f"VERSION = {version}")
        (bundle / "more.txt").write_text("./vendor/lib")
        (bundle / "needs.txt").write_text(
            line if "ROOT" not in line else line.replace("ROOT", str(bundle))
        )
        names.append(_digest(bundle / "needs.txt", "3.11"))
    assert names[0] != names[1]
    assert "ROOT" in line or names[1] == names[2]
