"""A group of processes that can be ended as a whole, whatever its members do (fork, setsid, daemonize).

There are three kinds, and the best available one is used: cgroup v2 with cgroup.kill, cgroup v1 with the
freezer, and, where no cgroup is writable, a walk over /proc for all descendants of the supervisor (which is a
child subreaper) and all processes that carry its mark. Standard library only: the supervisor imports this
without site-packages.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

# Environment variable that marks members without a cgroup.
MARK = "KAON_SUPERVISED"
# The mount points of cgroups, and the kernel's list of our own.
ROOT = "/sys/fs/cgroup"
SELF = "/proc/self/cgroup"
# The leaf to which a runner moves, because version 2 allows no process in a cgroup whose children are
# bounded.
CONTROLLERS = ("cpu", "memory", "pids")
RUNNER_LEAF = "kaon-runner"
# Seconds between two checks for live members.
LOOK_SECONDS = 0.01


class Group:
    """A group without a cgroup: the supervisor's descendants and all processes that carry its mark.

    Args:
        token: The unique name of the group.
        root: The supervisor's process id.
    """

    kind = "proc"

    def __init__(self, token: str, root: int) -> None:
        self.token = token
        self.root = root

    def enter(self) -> None:
        """Make the calling process a member; it has the mark in its environment when it executes a program."""

    def members(self) -> set[int]:
        """Return the process ids of all live members, without the supervisor itself."""
        parents, marked = _processes(self.token)
        found = {pid for pid in marked if pid != self.root}
        level = {self.root}
        while level:
            level = {pid for pid, parent in parents.items() if parent in level} - found
            found |= level
        return found - {self.root, os.getpid()}

    def send(self, number: int) -> None:
        """Send a signal to every member."""
        for pid in self.members():
            _kill(pid, number)

    def kill(self) -> None:
        """Send SIGKILL to all; repeat until `members` is empty."""
        self.send(signal.SIGKILL)

    def remove(self) -> None:
        """Remove the group."""


class CgroupV2(Group):
    """The members of one cgroup of the unified hierarchy."""

    kind = "cgroup-v2"

    def __init__(self, token: str, root: int, path: str) -> None:
        super().__init__(token, root)
        self.path = path

    def enter(self) -> None:
        """Join the cgroup."""
        write(self.path + "/cgroup.procs", "0")

    def members(self) -> set[int]:
        """Return the process ids in the cgroup. Zombies are not listed."""
        return _procs(self.path)

    def kill(self) -> None:
        """Kill all at once, including processes being forked."""
        try:
            write(self.path + "/cgroup.kill", "1")
        except OSError:
            self.send(signal.SIGKILL)  # before Linux 5.14

    def remove(self) -> None:
        """Remove the cgroup, which is empty now."""
        rmdir(self.path)


class CgroupV1(CgroupV2):
    """The members of one cgroup of the freezer: frozen while they are killed, so that none forks meanwhile."""

    kind = "cgroup-v1"

    def kill(self) -> None:
        """Freeze, kill and thaw all members."""
        try_write(self.path + "/freezer.state", "FROZEN")
        self.send(signal.SIGKILL)
        try_write(self.path + "/freezer.state", "THAWED")


def create(token: str, root: int) -> Group:
    """Create a new group of the best available kind."""
    makers: tuple[tuple[type[CgroupV2], Callable[[], str | None]], ...] = (
        (CgroupV2, v2_parent),
        (CgroupV1, lambda: v1_parent("freezer")),
    )
    for kind, parent in makers:
        directory = parent()
        if directory is None:
            continue
        path = directory + "/kaon-" + token
        try:
            os.mkdir(path)
        except OSError:
            continue
        return kind(token, root, path)
    return Group(token, root)


def delegate() -> None:
    """Enable bounds of version 2 for children.

    This process moves to a leaf, so that its cgroup may have bounded children. Nothing happens where version
    2 has no controllers, or where other processes live in the cgroup: then the runner needs one that is
    delegated to it alone.
    """
    own = _v2_own()
    if own is None or own.endswith("/" + RUNNER_LEAF) or _usable(own) is None:
        return
    controllers = [
        name for name in CONTROLLERS if name in read(own + "/cgroup.controllers").split()
    ]
    if not controllers or _procs(own) - {os.getpid()}:
        return
    try:
        os.makedirs(f"{own}/{RUNNER_LEAF}", exist_ok=True)
        write(f"{own}/{RUNNER_LEAF}/cgroup.procs", str(os.getpid()))
    except OSError:
        return
    for name in controllers:
        try_write(own + "/cgroup.subtree_control", "+" + name)


def find(token: str, root: int) -> Group:
    """Return the group that a supervisor created under this token, for use by another process."""
    for kind, directory in ((CgroupV2, v2_parent()), (CgroupV1, v1_parent("freezer"))):
        if directory is not None and os.path.isdir(directory + "/kaon-" + token):
            return kind(token, root, directory + "/kaon-" + token)
    return Group(token, root)


def destroy(group: Group, seconds: float) -> bool:
    """Kill every member and wait for their end; return False when some still live after `seconds`."""
    deadline = time.monotonic() + seconds
    while group.members():
        group.kill()
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    group.remove()
    return True


def v2_parent() -> str | None:
    """Return the parent of children's cgroups in the unified hierarchy: beside our leaf, or in our own cgroup."""
    own = _v2_own()
    return None if own is None else _usable(own.removesuffix("/" + RUNNER_LEAF))


def _v2_own() -> str | None:
    for mount in (ROOT, ROOT + "/unified"):
        if os.path.exists(mount + "/cgroup.controllers"):
            return mount + _own("0::")
    return None


def v1_parent(controller: str) -> str | None:
    """Return the directory of our own cgroup under a controller of version 1; None when it is not mounted or not writable."""
    for line in read(SELF).splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return _usable(ROOT + "/" + controller + path.rstrip("/"))
    return None


def _own(prefix: str) -> str:
    for line in read(SELF).splitlines():
        if line.startswith(prefix):
            return line[len(prefix) :].rstrip("/")
    return ""


def _usable(path: str) -> str | None:
    return path if os.access(path, os.W_OK) else None


def _procs(path: str) -> set[int]:
    return {int(line) for line in read(path + "/cgroup.procs").split()}


def _processes(token: str) -> tuple[dict[int, int], set[int]]:
    """Return the parents by process id, and the processes that carry the mark."""
    mark = f"{MARK}={token}".encode()
    parents: dict[int, int] = {}
    marked: set[int] = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        state, parent = _stat(name)
        if state in ("", "Z", "X"):
            continue
        parents[int(name)] = parent
        if mark in _read_bytes(f"/proc/{name}/environ").split(b"\0"):
            marked.add(int(name))
    return parents, marked


def _stat(pid: str) -> tuple[str, int]:
    # The name is in parentheses and may contain anything, parentheses included.
    rest = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (rest[0], int(rest[1])) if rest else ("", 0)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def read(path: str) -> str:
    """Return the content as text; empty when the file is gone."""
    return _read_bytes(path).decode("utf-8", "replace")


def _read_bytes(path: str) -> bytes:
    """Return the content; empty when the file, or its process, is gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def write(path: str, text: str) -> None:
    """Write to a file of the kernel's, or raise OSError."""
    with open(path, "w") as file:
        file.write(text)


def try_write(path: str, text: str) -> bool:
    """Write `text` and tell whether that succeeded."""
    try:
        write(path, text)
    except OSError:
        return False
    return True


def rmdir(path: str) -> None:
    """Remove a cgroup if that is possible."""
    try:
        os.rmdir(path)
    except OSError:
        pass
