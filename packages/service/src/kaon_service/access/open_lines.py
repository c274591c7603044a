"""Lines that nobody has closed in a system that is closed otherwise: each service says so when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import structlog

from kaon_wire.addresses import is_loopback

log = structlog.get_logger(__name__)
# By the variable that closes the line: what somebody can do while it is open.
_MEANS: Mapping[str, str] = {
    "KAON_KAFKA_SECURITY": "whoever reaches the broker reads and writes what services tell one another",
    "KAON_LEASE_KEYS": "whoever can write to step-events settles steps of every tenant",
    "KAON_LEASE_TOKENS": "reports without a valid token count: it is optional, for a system that changes over",
    "KAON_POOL_KEYS": "every heartbeat counts: a runner of one pool speaks for those of all",
    "KAON_COMMAND_KEY": "commands to runners are not signed: whoever can write to runner-commands drains runners",
    "KAON_COMMAND_PUBLIC_KEYS": "every command counts: whoever can write to runner-commands drains this runner",
    "KAON_DATABASE": "whoever is between this service and the database reads and changes everything: add sslmode=verify-full",
    "KAON_PUBLISHER_DATABASE": "whoever is between this service and the database changes models: add sslmode=verify-full",
    "KAON_AUDIT_DATABASE": "whoever is between this service and that database changes the audit log: add sslmode=verify-full",
    "KAON_REGISTRY_CA": "images of models travel in the clear, and nobody knows to which registry",
    "KAON_ENGINES_TOKENS": "Hive and Spark believe every step whose tenant it is",
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


def closes_database(url: str) -> bool:
    """Return whether nobody stands between a service and its database: a file, this machine, or a server that is checked.

    Args:
        url: An SQLAlchemy URL.
    """
    parsed = urlsplit(url)
    if not parsed.scheme.startswith("postgresql"):
        return True
    told = parse_qs(parsed.query)
    hosts = told.get("host") or [parsed.hostname or ""]
    if all(not host or host.startswith("/") or is_loopback(f"{host}:0") for host in hosts):
        return True
    return told.get("sslmode") == ["verify-full"]
