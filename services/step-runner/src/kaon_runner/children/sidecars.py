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
from kaon_runner.children import images, readiness
from kaon_runner.children.containers import limits, remove
from kaon_runner.children.faults import EngineError
from kaon_runner.steptypes.docker import name_of
from kaon_runner.steptypes.shell import filled

# Seconds from TERM to KILL of a sidecar whose step has ended.
_STOP_SECONDS = 1


class Sidecars:
    """The sidecars of one step; a context manager that starts them and waits until they are ready.

    Args:
        client: The engine.
        context: The step; its setting "sidecars" has been checked.
        texts: The step's inputs as text, for `${name}`.
        common: Options of every container of the step.
        network: Options of the container in whose network all of them are.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        context: StepContext,
        texts: Mapping[str, str],
        common: Mapping[str, Any],
        network: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._context = context
        self._texts = texts
        self._common = common
        self._stack = ExitStack()
        # The container in whose network all of the step are; None before the first sidecar.
        self.first: Any = None
        # Options of the next container, with which it is in that network.
        self.network = network

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for number, config in enumerate(self._context.config.get("sidecars") or ()):
                self._start(number, config, stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, number: int, config: Mapping[str, Any], stack: ExitStack) -> None:
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
            "name": f"{name_of(context.scratch)}-{number}",
            **self.network,
            **limits(config),
        }
        if config.get("user"):
            options["user"] = config["user"]
        ready = config.get("ready")
        if ready:
            options["healthcheck"] = readiness.check(ready)
        container = self._client.containers.create(**options)
        stack.callback(remove, self._client, str(container.id))
        copier = _Copier(name, container)
        stack.callback(copier.join)
        stack.callback(_stop, container)
        with readiness.hearing(self._client, container) as heard:
            copier.start()
            container.start()
            if ready:
                context.progress(0.0, f"waiting for sidecar {name}")
                what = f"sidecar {name}"
                code = readiness.wait(what, container, heard, config.get("ready_ms"))
                if code is not None:
                    raise EngineError(
                        f"{what} ended with exit code {code} before it was ready; its output is in the step's log"
                    )
        # All that follow share the first one's network.
        if self.first is None:
            self.first = container
            self.network = {"network_mode": f"container:{container.id}"}


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
