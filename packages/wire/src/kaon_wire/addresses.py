"""Addresses of listeners, host:port."""

from __future__ import annotations

import ipaddress


def is_loopback(address: str) -> bool:
    """Return whether host:port is on this machine, and reached from nowhere else."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
