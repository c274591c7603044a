"""The supervisor and its groups by themselves."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import alive, read_pid, wait_gone

from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.supervision import child, groups

# Forks a daemon (new session, orphaned, deaf to SIGTERM) that forks again, writes its id, and waits.
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        if os.fork() == 0:
            with open(sys.argv[1] + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(1000)
    os._exit(0)
os.wait()
time.sleep(float(sys.argv[2]))
"""


def order(*argv: str, **rest: object) -> child.Order:
    return child.Order(argv=argv, env=dict(os.environ), **rest)  # type: ignore[arg-type]


def daemon(path: Path, seconds: float = 1000.0, **rest: object) -> child.Order:
    return order(sys.executable, "-c", DAEMON, str(path), str(seconds), **rest)


def close(started: child.Child) -> None:
    os.close(started.stdout)
    os.close(started.stderr)


async def test_an_exit_code_is_told() -> None:
    started = await child.start(order("sh", "-c", "echo out; echo err >&2; exit 7"))
    assert await started.ended == child.Ending(code=7)
    assert (os.read(started.stdout, 100), os.read(started.stderr, 100)) == (b"out\n", b"err\n")
    close(started)


async def test_a_daemon_does_not_survive_a_stop(tmp_path: Path) -> None:
    started = await child.start(daemon(tmp_path / "pid", grace_seconds=0.3))
    pid = read_pid(tmp_path / "pid")
    started.stop()
    ending = await started.ended
    assert (ending.reason, ending.signal) == ("stopped", signal.SIGKILL)
    assert not alive(pid)
    close(started)


async def test_a_daemon_does_not_survive_the_end_of_its_step(tmp_path: Path) -> None:
    started = await child.start(daemon(tmp_path / "pid", 0.2))
    pid = read_pid(tmp_path / "pid")
    assert await started.ended == child.Ending(code=0)
    assert not alive(pid)
    close(started)


async def test_a_child_that_ends_on_sigterm_is_not_kept_for_the_grace() -> None:
    started = await child.start(order("sleep", "1000", grace_seconds=30.0))
    began = time.monotonic()
    started.stop()
    assert (await started.ended).signal == signal.SIGTERM
    assert time.monotonic() - began < 5
    close(started)


async def test_without_renewal_the_child_is_ended_at_its_deadline() -> None:
    began = time.monotonic()
    started = await child.start(order("sleep", "1000", deadline_seconds=0.5))
    started.renew(1.5)
    assert (await started.ended).reason == "deadline"
    assert 1.4 < time.monotonic() - began < 5
    close(started)


async def test_cleanup_commands_run_after_a_stop_and_not_after_an_exit(tmp_path: Path) -> None:
    for name, argv in (("stopped", ("sleep", "1000")), ("exited", ("true",))):
        started = await child.start(
            order(*argv, cleanup=(("touch", str(tmp_path / name)), ("false",)))
        )
        if name == "stopped":
            started.stop()
        await started.ended
        close(started)
    assert [path.name for path in tmp_path.iterdir()] == ["stopped"]


async def test_a_missing_program_is_the_users_fault_and_a_missing_directory_is_not(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserStepError, match="no-such-program"):
        await child.start(order("no-such-program"))
    with pytest.raises(PlatformStepError):
        await child.start(order("true", cwd=tmp_path / "absent"))


async def test_when_the_supervisor_is_killed_nothing_is_left(tmp_path: Path) -> None:
    started = await child.start(daemon(tmp_path / "pid"))
    pid = read_pid(tmp_path / "pid")
    os.kill(started._supervisor._process.pid, signal.SIGKILL)
    assert (await started.ended).reason == "lost"
    assert not alive(pid)
    close(started)


def test_without_a_cgroup_a_group_is_found_by_its_mark(tmp_path: Path) -> None:
    token = secrets.token_hex(8)
    env = {**os.environ, groups.MARK: token}
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path / "pid"), "1000"], env=env
    ) as process:
        pid = read_pid(tmp_path / "pid")
        group = groups.Group(token, process.pid)
        # The daemon's parent is init by now: only the mark tells.
        assert pid in group.members()
        assert groups.destroy(group, 5.0)
        wait_gone(pid, 5)
        process.kill()


def test_the_best_kind_of_group_is_taken_here() -> None:
    group = groups.create(secrets.token_hex(8), os.getpid())
    writable = any(
        os.access(path, os.W_OK) for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer")
    )
    assert (group.kind != "proc") == writable
    group.remove()
