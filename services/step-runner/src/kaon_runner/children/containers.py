"""What a step's own container and its sidecars have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, NotFound


def limits(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container's limits as the engine's options, from "memory_bytes", "cpus" and "pids"; 0 or none: no limit."""
    options: dict[str, Any] = {}
    if memory := wanted.get("memory_bytes"):
        options |= {"mem_limit": memory, "memswap_limit": memory}
    if cpus := wanted.get("cpus"):
        options["nano_cpus"] = int(cpus * 1e9)
    if pids := wanted.get("pids"):
        options["pids_limit"] = pids
    return options


def remove(client: docker.DockerClient, name: str) -> None:
    """Kill and remove a container; do nothing when there is none."""
    try:
        client.api.remove_container(name, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        # Another process is removing it.
        if error.status_code != 409:
            raise
