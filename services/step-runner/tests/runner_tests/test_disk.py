"""Quotas on the disk, and that nothing is left there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import MemorySystem, python, shell

from kaon_artifacts import ArtifactStore
from kaon_runner import bootstrap
from kaon_runner.artifacts import copies
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.disk.space import WorkDirectory, local_path, remove_tree, remove_unused, used_bytes
from kaon_runner.settings import Settings
from kaonapi.step.v1 import step_pb2

MIB = 2**20
BOTH = pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", step_disk_bytes=20 * MIB) as system:
        yield system


def run(system: MemorySystem, wanted: step_pb2.StepRequest) -> step_pb2.StepEvent:
    system.release(wanted)
    return system.final(wanted.key)


@BOTH
@pytest.mark.parametrize("where", ["work", "scratch"])
def test_a_step_that_fills_its_quota_is_ended_and_told_how_much_it_held(
    system: MemorySystem, isolation: str, where: str
) -> None:
    began = time.monotonic()
    wanted = python("fill", inputs={"where": where, "megabytes": 40}, isolation=isolation)
    error = run(system, wanted).failed.error
    assert (error.type, error.error_class) == ("DiskQuota", step_pb2.ERROR_CLASS_USER)
    assert "its quota is 20.0 MiB" in error.message
    assert time.monotonic() - began < 10
    left = used_bytes([system.settings.work / "steps", system.settings.work / "scratch"])
    assert left < MIB, "what it had written is gone"


def test_a_step_within_its_quota_is_left_alone(system: MemorySystem) -> None:
    wanted = python("use_scratch", inputs={"fails": False}, outputs={"place": "string"})
    assert run(system, wanted).WhichOneof("event") == "succeeded"


@pytest.mark.parametrize("printed", [10, 200_000])
def test_a_step_is_reported_though_its_log_cannot_be_kept(
    system: MemorySystem, printed: int
) -> None:
    logs = system.settings.work / "logs"
    remove_tree(logs)
    # As on a full disk: nothing can be written there.
    logs.touch()
    wanted = shell("head", "-c", str(printed), "/dev/zero")
    event = run(system, wanted)
    assert event.WhichOneof("event") == "succeeded"
    assert event.succeeded.log_json == ""


def test_scratch_space_stays_for_the_steps_that_follow_and_goes_with_a_failed_attempt(
    system: MemorySystem,
) -> None:
    kept = python("use_scratch", inputs={"fails": False}, outputs={"place": "string"})
    place = Path(json.loads(run(system, kept).succeeded.outputs_json["place"]))
    assert (place / "kept").exists()
    failed = python("use_scratch", inputs={"fails": True})
    assert run(system, failed).failed.error.type == "ValueError"
    files = [path for path in (system.settings.work / "scratch").rglob("*") if path.is_file()]
    assert files == [place / "kept"]


def test_a_dead_runners_directories_are_removed_and_those_of_the_living_are_not(
    tmp_path: Path,
) -> None:
    script = f"""
import os, signal
from pathlib import Path
from kaon_runner.disk.space import WorkDirectory
work = WorkDirectory(Path({str(tmp_path)!r}), "dead", scratch_seconds=60)
work.open()
for path in (work.steps, work.logs):
    path.mkdir(parents=True)
    (path / "file").write_text("left")
print("ready", flush=True)
signal.pause()
"""
    alive = WorkDirectory(tmp_path, "alive", scratch_seconds=60)
    alive.open()
    alive.steps.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        alive.sweep()
        assert (tmp_path / "steps" / "dead" / "file").exists()
        process.send_signal(signal.SIGKILL)
    alive.sweep()
    assert not (tmp_path / "steps" / "dead").exists()
    assert not (tmp_path / "logs" / "dead").exists()
    assert alive.steps.exists()
    alive.close()
    assert not alive.steps.exists()
    assert list((tmp_path / "lives").iterdir()) == []


def test_scratch_space_that_is_out_of_use_is_removed(tmp_path: Path) -> None:
    work = WorkDirectory(tmp_path, "life", scratch_seconds=100)
    work.open()
    old, used = work.scratch / "old", work.scratch / "used"
    for run in (old, used):
        (run / "step").mkdir(parents=True)
        (run / "step" / "file").write_text("x")
    for path in (old / "step" / "file", old / "step", old, used / "step", used):
        os.utime(path, (time.time() - 200, time.time() - 200))
    work.sweep()
    assert [run.name for run in work.scratch.iterdir()] == ["used"]
    work.close()


def test_what_nobody_has_used_for_long_leaves_the_cache(tmp_path: Path) -> None:
    for name in ("old", "used", "old-directory"):
        path = tmp_path / name
        if name == "old-directory":
            path.mkdir()
            (path / "file").touch()
        else:
            path.touch()
        if name.startswith("old"):
            os.utime(path, (time.time() - 200, time.time() - 200))
    remove_unused(tmp_path, 100)
    assert [path.name for path in tmp_path.iterdir()] == ["used"]
    remove_unused(tmp_path / "absent", 100)


def test_an_artifact_that_is_fetched_again_counts_as_used(tmp_path: Path) -> None:
    settings = Settings(work=tmp_path / "work", artifacts=(tmp_path / "store").as_uri())
    (tmp_path / "model").write_text("weights")
    reference = ArtifactStore(settings.artifacts).put_file(tmp_path / "model", "model").to_json()
    gateway = ArtifactGateway(settings)
    path = gateway.fetch(reference)
    assert path is not None
    os.utime(path.parent, (1, 1))
    gateway.fetch(reference)
    remove_unused(path.parent.parent, 100)
    assert path.read_text() == "weights"


def test_a_runner_that_tidies_its_cache_tells_what_its_steps_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[Path, float, list[Path]]] = []
    monkeypatch.setattr(copies, "tidy", lambda *arguments: told.append(arguments))
    monkeypatch.setattr(bootstrap, "_SWEEP_SECONDS", 0.05)
    (tmp_path / "model").write_text("weights")
    with MemorySystem(tmp_path / "work", cache_seconds=7.0) as system:
        reference = (
            ArtifactStore(system.settings.artifacts).put_file(tmp_path / "model", "model").to_json()
        )
        wanted = shell(
            "sh", "-c", "sleep 60", "sh", "${model}", inputs={"model": {"artifact": reference}}
        )
        system.release(wanted)
        cache, seconds, (copy,) = system.wait(
            lambda: next((each for each in told if each[2]), None)
        )
        system.revoke(wanted.key, 1)
        assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert (cache, seconds) == (system.settings.cache_directory, 7.0)
    assert (copy.name, copy.read_text()) == ("model", "weights")


def test_what_is_used_is_counted_as_it_lies_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "file").write_bytes(b"x" * MIB)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 * MIB)
    (tmp_path / "link").symlink_to("/usr")
    assert MIB <= used_bytes([tmp_path, tmp_path / "absent"]) < 2 * MIB


def test_only_file_urls_are_local() -> None:
    assert local_path("file:///tmp/a%20b") == Path("/tmp/a b")
    assert local_path("hdfs://host/tmp") is None
