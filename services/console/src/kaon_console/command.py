"""`kaon ui`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, TypeAlias

import typer

from kaon.cli import options, output, plugins
from kaon_service.thread import interrupt_on_sigterm
from kaon_telemetry.logs import configure_logs

Port: TypeAlias = Annotated[
    int,
    typer.Option(
        "--port",
        metavar="PORT",
        min=0,
        max=65535,
        help="Port of the console on this machine; 0: a free one.",
    ),
]
PORT = 7072


def ui(
    server: options.Server = options.SERVER,
    view: Annotated[
        str,
        typer.Option(
            "--view",
            metavar="HOST:PORT",
            envvar="KAON_VIEW",
            help="Address of the view service, host:port; default: found by the coordinator's.",
        ),
    ] = "",
    state: options.State = None,
    port: Port = PORT,
) -> None:
    """Serve the web console on this machine until Ctrl-C. Print the link that logs you in.

    With --state the console shows the runs that `kaon run --state` keeps in a directory, and steers none.

    \b
    kaon ui
    kaon ui --server kaon.example.org:7070
    kaon ui --state .kaon/local
    """
    # A web server, which no other command waits for.
    from kaon_console.beside import Console

    configure_logs("error", for_people=True)
    # Its secrets go with it.
    interrupt_on_sigterm()
    with ExitStack() as stack:
        if state is not None:
            server, view = stack.enter_context(plugins.state_opener()(state)), ""
        console = stack.enter_context(
            Console(server, port=port, view=view, read_only=state is not None)
        )
        try:
            output.say(
                f"The console of {state or server} runs. This link logs you in, once:\n\n    {console.link()}\n"
            )
            output.say("Ctrl-C stops it.")
            console.wait()
        except KeyboardInterrupt:
            return
