"""Resource limits of a child and its descendants, enforced by the kernel: cores, memory, processes.

A cgroup enforces each limit: of version 1 where its controller is mounted so, otherwise the child's own group
of version 2. Where neither is writable a limit is not enforced; `kept_here` tells. Standard library only: the
supervisor imports this without site-packages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from kaon_runner.supervision import groups

_PERIOD_US = 100_000


class Limits:
    """The limits of one group.

    Args:
        group: The child's group of processes.
        cpu_milli: Thousandths of a core; 0: no limit.
        memory_bytes: Bytes of memory; 0: no limit.
        pids: Processes and threads; 0: no limit.
    """

    def __init__(
        self, group: groups.Group, *, cpu_milli: int, memory_bytes: int, pids: int
    ) -> None:
        self.memory_bytes = memory_bytes
        # The enforcement of each limit, "cgroup v1" or "cgroup v2", by controller.
        self.kept: dict[str, str] = {}
        self._group = group
        self._made: list[str] = []
        # The cgroup that counts the memory.
        self._memory = ""
        if cpu_milli > 0:
            quota = str(cpu_milli * _PERIOD_US // 1000)
            self._bound(
                "cpu",
                {"cpu.cfs_period_us": str(_PERIOD_US), "cpu.cfs_quota_us": quota},
                {"cpu.max": f"{quota} {_PERIOD_US}"},
            )
        if memory_bytes > 0:
            bound = str(memory_bytes)
            self._memory = self._bound(
                "memory", {"memory.limit_in_bytes": bound}, {"memory.max": bound}
            )
            # Swap would only delay the end; not every kernel counts it.
            groups.try_write(f"{self._memory}/memory.memsw.limit_in_bytes", bound)
            groups.try_write(f"{self._memory}/memory.swap.max", "0")
        if pids > 0:
            self._bound("pids", {"pids.max": str(pids)}, {"pids.max": str(pids)})
        self._kills_before = self._kills()

    def enter(self) -> None:
        """Make the calling process a member; it is a member of its group already."""
        for path in self._made:
            groups.write(path + "/cgroup.procs", "0")

    def exhausted(self, status: int | None) -> bool:
        """Tell whether the main process ended with this wait status because the kernel killed a member for lack of memory."""
        if not status or self._kills() <= self._kills_before:
            return False
        # Without a count of our own it may have been any process of this machine.
        return bool(self._memory) or os.WIFSIGNALED(status)

    def peak_bytes(self) -> int:
        """Return the members' peak memory in total; 0 where it is not counted."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            text = groups.read(f"{self._memory}/{name}").strip() if self._memory else ""
            if text.isdigit():
                return int(text)
        return 0

    def remove(self) -> None:
        """Remove the cgroups; no member is left now."""
        for path in self._made:
            groups.rmdir(path)

    def _bound(self, controller: str, first: Mapping[str, str], second: Mapping[str, str]) -> str:
        """Set a limit; return the cgroup that enforces it, empty when none does."""
        parent = groups.v1_parent(controller)
        if parent is not None:
            path = f"{parent}/kaon-{self._group.token}"
            if _mkdir(path):
                self._made.append(path)
                return self._set(controller, path, first, "cgroup v1")
        elif isinstance(self._group, groups.CgroupV2):
            return self._set(controller, self._group.path, second, "cgroup v2")
        return ""

    def _set(self, controller: str, path: str, files: Mapping[str, str], keeper: str) -> str:
        if not all(groups.try_write(f"{path}/{name}", text) for name, text in files.items()):
            return ""
        self.kept[controller] = keeper
        return path

    def _kills(self) -> int:
        """Return how many members the kernel killed for lack of memory, or the machine's number where those are not counted."""
        if not self._memory:
            return _count("/proc/vmstat")
        return _count(self._memory + "/memory.oom_control") + _count(
            self._memory + "/memory.events"
        )


def forget(token: str) -> None:
    """Remove the cgroups that `Limits` created for a group whose supervisor could not do so."""
    for controller in groups.CONTROLLERS:
        parent = groups.v1_parent(controller)
        if parent is not None:
            groups.rmdir(f"{parent}/kaon-{token}")


def sweep(age_seconds: float = 60.0) -> None:
    """Remove empty cgroups whose supervisors were killed before they could do so.

    A cgroup with a member cannot be removed, and a young one may be about to get its first.
    """
    parents = [groups.v2_parent(), *map(groups.v1_parent, ("freezer", *groups.CONTROLLERS))]
    limit = time.time() - age_seconds
    for parent in filter(None, parents):
        for name in os.listdir(parent):
            if (
                name.startswith("kaon-")
                and name != groups.RUNNER_LEAF
                and _made(f"{parent}/{name}") < limit
            ):
                groups.rmdir(f"{parent}/{name}")


def kept_here() -> Mapping[str, str]:
    """Return the enforcement of limits for steps that this process starts, by controller; those not enforced are missing."""
    group = groups.create(f"trial-{os.getpid()}", os.getpid())
    limits = Limits(group, cpu_milli=1000, memory_bytes=1 << 30, pids=1000)
    limits.remove()
    group.remove()
    return limits.kept


def _made(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return time.time()  # it has just been removed


def _count(path: str) -> int:
    for line in groups.read(path).splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def _mkdir(path: str) -> bool:
    try:
        os.mkdir(path)
    except OSError:
        return False
    return True
