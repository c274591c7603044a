"""The whole system in one process, for teams that begin."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kaon.cli import output
from kaon_embedded.running import console_beside
from kaon_embedded.system import DEFAULT_POOL, EmbeddedSettings, EmbeddedSystem
from kaon_service.call_settings import call_settings
from kaon_service.thread import interrupt_on_sigterm
from kaon_telemetry.logs import configure_logs


@dataclass(frozen=True, kw_only=True)
class Served:
    """The options of `kaon serve`."""

    state: Path
    # Where clients reach the system, host:port.
    address: str
    # Of each pool.
    slots: int
    # Pools beside the default one.
    pools: tuple[str, ...]
    # Seconds that running steps have to end.
    drain: float
    # None: without the console.
    console_port: int | None
    # Logs of coordinator and runner are printed.
    verbose: bool


def serve_until_interrupted(served: Served) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    configure_logs("info" if served.verbose else "warning")
    settings = EmbeddedSettings(
        state=served.state,
        slots=served.slots,
        address=served.address,
        pools=tuple(sorted({DEFAULT_POOL, *served.pools})),
        durable=True,
        drain_seconds=served.drain,
        calls=call_settings(os.environ),
    )
    interrupt_on_sigterm()
    with EmbeddedSystem(settings) as system, ExitStack() as beside:
        try:
            output.say(
                f"Kaon serves at {system.address} and keeps its state in {served.state}. Ctrl-C ends it."
            )
            if served.console_port is not None:
                console = beside.enter_context(
                    console_beside(settings, system, served.console_port)
                )
                output.say(f"The console; this link logs you in, once: {console.link('/')}")
            system.wait()
        except KeyboardInterrupt:
            output.note(
                f"Ending: running steps have {served.drain:g} s. Unfinished runs go on when "
                f"kaon serve --state {shlex.quote(str(served.state))} starts again."
            )
