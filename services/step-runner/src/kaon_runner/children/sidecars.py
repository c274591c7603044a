"""Containers beside that of a step: started before it, awaited, and ended with it.

All of them and the step's own share one network: they reach each other at localhost.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import docker
from docker.errors import NotFound

from kaon.step import StepContext
from kaon_runner.children import images
from kaon_runner.children.containers import limits, remove
from kaon_runner.children.faults import EngineError
from kaon_runner.steptypes.docker import NO_NETWORK
from kaon_runner.steptypes.shell import filled

# Seconds from TERM to KILL of a sidecar whose step has ended.
_STOP_SECONDS = 1
_READY_MS = 60_000
# Of the engine's checks of a sidecar, in nanoseconds: how often, and how long one may take.
_CHECK_EVERY = 500_000_000
_CHECK_TAKES = 10_000_000_000
# It ends by itself, or by the time that a sidecar has.
_CHECKS = 1_000_000


class Sidecars:
    """The sidecars of one step; a context manager that starts them and waits until they are ready.

    Args:
        client: The engine.
        context: The step; its setting "sidecars" has been checked.
        texts: The step's inputs as text, for `${name}`.
        common: Options of every container of the step.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        context: StepContext,
        texts: Mapping[str, str],
        common: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._context = context
        self._texts = texts
        self._common = common
        self._stack = ExitStack()
        # The network of all containers of the step.
        self.network = str(context.config.get("network") or NO_NETWORK)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for config in self._context.config.get("sidecars") or ():
                self._start(config, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, config: Mapping[str, Any], stack: ExitStack) -> None:
        name, context = config["name"], self._context
        images.ensure(self._client, context, config["image"])
        options: dict[str, Any] = {
            **self._common,
            "image": config["image"],
            "command": [filled(word, self._texts, None) for word in config.get("argv") or ()]
            or None,
            "environment": {
                key: filled(text, self._texts, None)
                for key, text in (config.get("env") or {}).items()
            },
            "network_mode": self.network,
            **limits(config),
        }
        if config.get("user"):
            options["user"] = config["user"]
        if ready := config.get("ready"):
            options["healthcheck"] = {
                "test": ["CMD", *ready],
                "interval": _CHECK_EVERY,
                "timeout": _CHECK_TAKES,
                "retries": _CHECKS,
            }
        container = self._client.containers.create(**options)
        stack.callback(remove, self._client, str(container.id))
        copier = _Copier(name, container)
        stack.callback(copier.join)
        stack.callback(_stop, container)
        # Heard from before the start on, so that nothing is missed.
        heard = self._client.events(
            decode=True, filters={"container": container.id, "event": ["health_status", "die"]}
        )
        with ExitStack() as listening:
            listening.callback(heard.close)
            copier.start()
            container.start()
            if ready:
                context.progress(0.0, f"waiting for sidecar {name}")
                _wait(name, container, heard, config.get("ready_ms") or _READY_MS)
        # All that follow share the first one's network.
        if not self.network.startswith("container:"):
            self.network = f"container:{container.id}"


def _wait(name: str, container: Any, heard: Any, milliseconds: float) -> None:
    """Wait until the engine calls a sidecar healthy.

    Raises:
        EngineError: It ended before, or its time is over.
    """
    late = threading.Event()

    def over() -> None:
        late.set()
        heard.close()

    timer = threading.Timer(milliseconds / 1000, over)
    timer.start()
    try:
        for event in heard:
            if event["Action"] == "health_status: healthy":
                return
            if event["Action"] == "die":
                code = event["Actor"]["Attributes"].get("exitCode", "?")
                raise EngineError(
                    f"sidecar {name} ended with exit code {code} before it was ready; its output is in the step's log"
                )
    finally:
        timer.cancel()
    if late.is_set():
        raise EngineError(
            f"sidecar {name} was not ready within {milliseconds / 1000:g} s{_last_check(container)}"
        )
    raise OSError("the engine's events ended")


def _last_check(container: Any) -> str:
    container.reload()
    checks = container.attrs["State"].get("Health", {}).get("Log") or []
    told = checks[-1]["Output"].strip() if checks else ""
    return f"; its check says: {told[:500]}" if told else ""


def _stop(container: Any) -> None:
    try:
        container.stop(timeout=_STOP_SECONDS)
    except NotFound:
        return


class _Copier(threading.Thread):
    """Copies a sidecar's output to the step's standard error, each line with the sidecar's name before it."""

    def __init__(self, name: str, container: Any) -> None:
        super().__init__(name=f"output of {name}", daemon=True)
        self._prefix = f"[{name}] ".encode()
        self._stream = container.attach(stream=True, stdout=True, stderr=True, logs=False)

    def run(self) -> None:
        """Copy whole lines until the container has ended."""
        rest = b""
        for data in self._stream:
            *lines, rest = (rest + data).split(b"\n")
            self._write(lines)
        if rest:
            self._write([rest])

    def _write(self, lines: Sequence[bytes]) -> None:
        if lines:
            # One call: output of the step's own container does not come between.
            sys.stderr.buffer.write(b"".join(self._prefix + line + b"\n" for line in lines))
            sys.stderr.buffer.flush()
