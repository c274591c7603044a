"""The requirements of docker steps that serve: how one knows that the container is ready, and what it publishes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

# Networks in which a container has no port of its own that others reach.
PORTLESS_NETWORKS: tuple[str, ...] = ("none", "host")
# Settings that only a step that serves has.
SERVING_SETTINGS = ("ready", "ready_ms", "publish")
_LAST_PORT = 65_535


def container_problems(
    config_json: str, serves: bool, outputs: Mapping[str, d.ValueType.ValueType]
) -> Iterator[str]:
    """Yield what is wrong with the settings "ready" and "publish" of a docker step.

    Args:
        config_json: The step's settings.
        serves: Whether it serves those after it.
        outputs: The types of its outputs by name.
    """
    config = _settings(config_json)
    given = [name for name in SERVING_SETTINGS if config.get(name)]
    if given and not serves:
        yield f"{given[0]} is for a step that serves those after it; add serves=True"
        return
    if not serves:
        return
    ready = config.get("ready")
    if not _is_words(ready):
        yield (
            "a container that serves says how one knows: ready must be a program in it with its arguments, a list of texts, "
            f"it is {ready!r}"
        )
    publish = config.get("publish") or {}
    if not isinstance(publish, dict):
        yield f"publish must be ports by the names of outputs, it is {publish!r}"
        return
    if publish and (network := config.get("network")) in PORTLESS_NETWORKS:
        yield f"it publishes ports, and has none of its own in the network {network!r}"
    for output, port in publish.items():
        if type(port) is not int or not 1 <= port <= _LAST_PORT:
            yield f"publish: the port of {output} must be a number from 1 to {_LAST_PORT}, it is {port!r}"
        if outputs.get(output) != d.VALUE_TYPE_STRING:
            yield f"publish: {output} becomes the address, and must be an output of type string"


def _settings(config_json: str) -> Mapping[str, Any]:
    """Return the settings; none when the text is none of settings, which is refused elsewhere."""
    try:
        config = canonical.loads(config_json or "{}")
    except InvalidValue:
        return {}
    return config if isinstance(config, dict) else {}


def _is_words(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(each, str) for each in given)
