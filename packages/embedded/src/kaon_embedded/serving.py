"""`kaon serve`. What it serves with is loaded when it is called: the help of all commands is not to wait for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kaon_wire.loading import loading


def serve(
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="Keep everything in this directory.")
    ] = Path(".kaon/server"),
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where clients reach the system.")
    ] = "127.0.0.1:7070",
    slots: Annotated[
        int,
        typer.Option(
            "--slots", metavar="N", min=1, help="Most steps that run concurrently in each pool."
        ),
    ] = os.cpu_count() or 2,
    pool: Annotated[
        list[str] | None,
        typer.Option("--pool", metavar="POOL", help="Also serve this pool; repeat for more."),
    ] = None,
    drain: Annotated[
        float,
        typer.Option(
            "--drain",
            metavar="SECONDS",
            min=0,
            help="On Ctrl-C, time that running steps have to end.",
        ),
    ] = 10.0,
    ui: Annotated[bool, typer.Option("--ui", help="Serve the web console, too.")] = False,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65535, help="Port of the console; 0: a free one."
        ),
    ] = 7072,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the logs of coordinator and runner.")
    ] = False,
) -> None:
    """Serve the whole system in one process: coordinator, runner, schedules and console, over SQLite, without Kafka.

    For a team that begins, on one machine. All commands and clients work as with the large system. What it does not do: no
    second coordinator takes over when the process ends (runs go on when it is started again), no runner on another machine can
    join, and the model publisher is a service of its own (KAON_PUBLISHER).

    \b
    kaon serve
    kaon serve --state /srv/kaon --slots 8 --ui
    KAON_AUTH=insecure KAON_TLS=off kaon serve --address 0.0.0.0:7070    # whoever reaches it can do everything
    kaon submit recommendations.py --watch    # in another terminal
    """
    with loading():
        from kaon_embedded.served import Served, serve_until_interrupted

    serve_until_interrupted(
        Served(
            state=state,
            address=address,
            slots=slots,
            pools=tuple(pool or ()),
            drain=drain,
            console_port=port if ui else None,
            verbose=verbose,
        )
    )
