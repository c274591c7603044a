"""How a process that only looks gives way to those that decide and work, on a machine that they share."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

# Two thirds of the weight of a usual process. With a third (5) a view service that tells of 1,500 cells a second gets just what it
# needs on two cores, and was up to three seconds late where others wanted them, too.
NICENESS = 2
# Linux schedules the processes of a session as one group, whose weight counts against other sessions.
_GROUP = Path("/proc/self/autogroup")


def give_way(niceness: int = NICENESS) -> None:
    """Lower the priority of this process, and of its session where it leads one. Call it before any thread starts.

    A process that has a lower priority already keeps it.
    """
    if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) != os.getpid() or not _GROUP.exists():
        return
    try:
        _GROUP.write_text(str(niceness))
    except OSError as error:
        log.info("the priority of the session stays as it is", reason=str(error))
