"""Waits until the engine finds a container ready, by a program that it runs in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import docker

from kaon_runner.children.faults import EngineError

_READY_MS = 60_000
# Of the engine's checks of a container, in nanoseconds: how often, and how long one may take.
_CHECK_EVERY = 500_000_000
_CHECK_TAKES = 10_000_000_000
# It ends by itself, or by the time that the container has.
_CHECKS = 1_000_000


def check(ready: Sequence[str]) -> dict[str, Any]:
    """Return the engine's option "healthcheck" for a program with its arguments."""
    return {
        "test": ["CMD", *ready],
        "interval": _CHECK_EVERY,
        "timeout": _CHECK_TAKES,
        "retries": _CHECKS,
    }


@contextmanager
def hearing(client: docker.DockerClient, container: Any) -> Iterator[Any]:
    """Hear from the engine about a container; entered before its start, so that nothing is missed."""
    heard = client.events(
        decode=True, filters={"container": container.id, "event": ["health_status", "die"]}
    )
    try:
        yield heard
    finally:
        heard.close()


def wait(what: str, container: Any, heard: Any, milliseconds: float | None) -> str | None:
    """Wait until the engine calls a container healthy.

    Args:
        what: Names it in errors.
        container: The container, with the option of `check`.
        heard: What `hearing` gives.
        milliseconds: How long that may take; None: a minute.

    Returns:
        None when it is ready, its exit code when it ended before.

    Raises:
        EngineError: Its time is over.
    """
    late = threading.Event()

    def over() -> None:
        late.set()
        heard.close()

    timer = threading.Timer((milliseconds or _READY_MS) / 1000, over)
    timer.start()
    try:
        for event in heard:
            if event["Action"] == "health_status: healthy":
                return None
            if event["Action"] == "die":
                return str(event["Actor"]["Attributes"].get("exitCode", "?"))
    finally:
        timer.cancel()
    if late.is_set():
        seconds = (milliseconds or _READY_MS) / 1000
        raise EngineError(f"{what} was not ready within {seconds:g} s{_last_check(container)}")
    raise OSError("the engine's events ended")


def _last_check(container: Any) -> str:
    container.reload()
    checks = container.attrs["State"].get("Health", {}).get("Log") or []
    told = checks[-1]["Output"].strip() if checks else ""
    return f"; its check says: {told[:500]}" if told else ""
