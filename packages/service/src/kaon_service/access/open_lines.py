"""Lines that nobody has closed in a system that is closed otherwise: each service says so when it starts."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)
# By the variable that closes the line: what somebody can do while it is open.
_MEANS: Mapping[str, str] = {
    "KAON_KAFKA_SECURITY": "whoever reaches the broker reads and writes what services tell one another",
    "KAON_LEASE_KEYS": "whoever can write to step-events settles steps of every tenant",
    "KAON_LEASE_TOKENS": "reports without a valid token count: it is optional, for a system that changes over",
    "KAON_POOL_KEYS": "every heartbeat counts: a runner of one pool speaks for those of all",
    "KAON_COMMAND_KEY": "commands to runners are not signed: whoever can write to runner-commands drains runners",
    "KAON_COMMAND_PUBLIC_KEYS": "every command counts: whoever can write to runner-commands drains this runner",
}


def warn_of_open_lines(lines: Mapping[str, bool], *, closed_system: bool) -> None:
    """Warn of each line that is open although the system is closed.

    Args:
        lines: Whether each line is closed, by the variable that closes it.
        closed_system: Whether the service authenticates its callers; of a runner: whether the broker knows it.
    """
    if not closed_system:
        return
    for variable, is_closed in lines.items():
        if not is_closed:
            log.warning("a line is open", setting=variable, means=_MEANS[variable])
