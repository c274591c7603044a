"""The addresses at which others reach the ports of a step's container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaon_runner.children.faults import EngineError
from kaon_runner.settings import IN_NETWORK


def ports(publish: Mapping[str, int], machine: str) -> dict[str, Any]:
    """Return the engine's option "ports", which binds free ports of the machine; none where names of containers are addresses.

    Args:
        publish: Ports of the container by the names of outputs.
        machine: The runner's setting `runner_address`.
    """
    if not publish or machine == IN_NETWORK:
        return {}
    return {"ports": {_tcp(port): (machine,) for port in publish.values()}}


def addresses(publish: Mapping[str, int], machine: str, container: Any) -> dict[str, str]:
    """Return "host:port" by the names of outputs, of a running container that was made with the option of `ports`.

    Raises:
        EngineError: The engine has bound no port, as in an internal network.
    """
    if machine == IN_NETWORK:
        return {name: f"{container.name}:{port}" for name, port in publish.items()}
    container.reload()
    bound = container.attrs["NetworkSettings"]["Ports"]
    host = f"[{machine}]" if ":" in machine else machine
    found = {}
    for name, port in publish.items():
        if not bound.get(_tcp(port)):
            raise EngineError(
                f"the engine has bound no port of {machine} to port {port} of the container; an internal network publishes none"
            )
        found[name] = f"{host}:{bound[_tcp(port)][0]['HostPort']}"
    return found


def _tcp(port: int) -> str:
    return f"{port}/tcp"
