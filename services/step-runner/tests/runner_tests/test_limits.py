"""Bounds of what steps use: what the kernel keeps, and what is said when a step meets one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from harness import MemorySystem, python, shell

from kaon_runner.supervision import child, groups, limits
from kaonapi.step.v1 import step_pb2

MIB = 2**20
BOTH = pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    kept = limits.kept_here()
    if len(kept) < len(groups.CONTROLLERS):
        pytest.skip(f"this machine lets us write no cgroups beside {kept}")
    with MemorySystem(tmp_path / "work", step_processes=60) as system:
        yield system


def run(system: MemorySystem, request: step_pb2.StepRequest) -> step_pb2.StepEvent:
    system.release(request)
    return system.final(request.key)


@BOTH
def test_a_step_that_uses_up_its_memory_fails_with_its_limit_and_its_peak(
    system: MemorySystem, isolation: str
) -> None:
    wanted = python(
        "eat", inputs={"megabytes": 500}, resources={"memory_bytes": 100 * MIB}, isolation=isolation
    )
    error = run(system, wanted).failed.error
    assert (error.type, error.error_class) == ("OutOfMemory", step_pb2.ERROR_CLASS_USER)
    assert "its limit is 100.0 MiB" in error.message
    peak = float(error.message.partition("its peak was ")[2].partition(" MiB")[0])
    assert 95 <= peak <= 100


def test_a_step_whose_child_is_killed_for_memory_is_told_so(system: MemorySystem) -> None:
    script = f"{sys.executable} -c 'x = \"y\" * 500_000_000'; exit 3"
    error = run(
        system, shell("sh", "-c", script, resources={"memory_bytes": 100 * MIB})
    ).failed.error
    assert error.type == "OutOfMemory"


def test_the_next_step_in_another_worker_is_not_bound_by_the_last_ones_memory(
    system: MemorySystem,
) -> None:
    small = python(
        "eat",
        inputs={"megabytes": 1},
        outputs={"held": "int"},
        resources={"memory_bytes": 100 * MIB},
    )
    large = python("eat", inputs={"megabytes": 150}, outputs={"held": "int"})
    for wanted in (small, large):
        assert run(system, wanted).WhichOneof("event") == "succeeded"


@BOTH
def test_a_step_gets_no_more_of_a_core_than_it_asked_for(
    system: MemorySystem, isolation: str
) -> None:
    wanted = python(
        "burn",
        inputs={"seconds": 1.5},
        outputs={"used": "float"},
        resources={"cpu_milli": 200},
        isolation=isolation,
    )
    used = json.loads(run(system, wanted).succeeded.outputs_json["used"])
    assert used < 0.6


def test_a_step_cannot_start_processes_without_end(system: MemorySystem) -> None:
    wanted = python("breed", inputs={"most": 200}, outputs={"count": "int"})
    count = json.loads(run(system, wanted).succeeded.outputs_json["count"])
    assert 40 <= count < 60


def test_no_cgroup_is_left_behind(system: MemorySystem, monkeypatch: pytest.MonkeyPatch) -> None:
    mine: list[str] = []

    def remember(size: int) -> str:
        mine.append(token_hex(size))
        return mine[-1]

    token_hex = secrets.token_hex
    monkeypatch.setattr(child.secrets, "token_hex", remember)
    for wanted in (
        shell("true", resources={"memory_bytes": 100 * MIB, "cpu_milli": 100}),
        shell("no-such-program"),
    ):
        run(system, wanted)
    assert mine
    assert not {f"kaon-{token}" for token in mine} & {path.name for path in _cgroups()}


def test_empty_cgroups_that_a_killed_supervisor_has_left_are_removed(system: MemorySystem) -> None:
    token = f"left-{os.getpid()}"
    group = groups.create(token, os.getpid())
    left = limits.Limits(group, cpu_milli=100, memory_bytes=MIB, pids=10)
    wanted = shell("sleep", "30", resources={"memory_bytes": 100 * MIB})
    system.release(wanted)
    system.started(wanted.key)
    limits.sweep()
    assert f"kaon-{token}" in {path.name for path in _cgroups()}, "it is young"
    busy = system.wait(
        lambda: _cgroups_of({child.pid for child in psutil.Process().children(recursive=True)})
    )
    for path in _cgroups():
        if path.name == f"kaon-{token}" or path in busy:
            os.utime(path, (1, 1))
    limits.sweep()
    assert f"kaon-{token}" not in {path.name for path in _cgroups()}
    assert busy <= _cgroups()
    assert left.kept
    assert group.kind != "proc"


def test_bounds_of_version_2_are_written_to_the_groups_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _second_version(tmp_path, monkeypatch)
    group = groups.create("token", os.getpid())
    for name in ("cpu.max", "memory.max", "memory.swap.max", "pids.max"):
        (own / "kaon-token" / name).touch()
    (own / "kaon-token" / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    (own / "kaon-token" / "memory.peak").write_text("1048576\n")
    found = limits.Limits(group, cpu_milli=1500, memory_bytes=MIB, pids=10)
    assert found.kept == {"cpu": "cgroup v2", "memory": "cgroup v2", "pids": "cgroup v2"}
    assert (own / "kaon-token" / "cpu.max").read_text() == "150000 100000"
    assert (own / "kaon-token" / "memory.max").read_text() == str(MIB)
    assert (own / "kaon-token" / "pids.max").read_text() == "10"
    assert found.peak_bytes() == MIB
    (own / "kaon-token" / "memory.events").write_text("low 0\noom 2\noom_kill 2\n")
    assert found.exhausted(9)


def test_a_runner_alone_in_its_cgroup_makes_room_for_bounded_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _second_version(tmp_path, monkeypatch)
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (own / "cgroup.subtree_control").touch()
    groups.delegate()
    assert (own / groups.RUNNER_LEAF / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+pids"
    (tmp_path / "self").write_text(f"0::/box/{groups.RUNNER_LEAF}\n")
    created = groups.create("token", os.getpid())
    assert isinstance(created, groups.CgroupV2)
    assert created.path == str(own / "kaon-token")


def test_a_runner_beside_others_leaves_their_cgroup_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _second_version(tmp_path, monkeypatch)
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n1\n")
    groups.delegate()
    assert not (own / groups.RUNNER_LEAF).exists()


def _second_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the shape of a unified hierarchy, for what this machine's kernel has mounted otherwise."""
    own = root / "cgroup" / "box"
    own.mkdir(parents=True)
    (root / "cgroup" / "cgroup.controllers").touch()
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    (root / "self").write_text("0::/box\n")
    monkeypatch.setattr(groups, "ROOT", str(root / "cgroup"))
    monkeypatch.setattr(groups, "SELF", str(root / "self"))
    return own


def _cgroups_of(pids: set[int]) -> set[Path]:
    """Those that hold one of our steps."""
    found = set()
    for path in _cgroups():
        with contextlib.suppress(FileNotFoundError):  # of somebody else's, and gone
            if pids & set(map(int, (path / "cgroup.procs").read_text().split())):
                found.add(path)
    return found


def _cgroups() -> set[Path]:
    # Not glob: it fails when one vanishes meanwhile, and others come and go on this machine.
    return {
        Path(parent, name)
        for parent, names, _ in os.walk(groups.ROOT)
        for name in names
        if name.startswith("kaon-")
    }
