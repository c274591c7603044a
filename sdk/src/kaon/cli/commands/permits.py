"""Commands that limit how many steps of a tag run concurrently."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output
from kaon_wire.texts import counted

app = typer.Typer(help="Limit how many steps of a tag run concurrently.", no_args_is_help=True)


@app.command("set")
def set_permits(
    tag: Annotated[
        str, typer.Argument(metavar="TAG", help="The tag of the steps.", show_default=False)
    ],
    limit: Annotated[
        int,
        typer.Argument(
            metavar="LIMIT",
            min=0,
            help="Most concurrent steps; 0 removes the limit.",
            show_default=False,
        ),
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Limit the concurrent steps with TAG to LIMIT, in all runs of the tenant.

    \b
    kaon permits set database 4
    """
    with options.client(server=server) as client:
        found = client.schedules.set_permits(tag, limit)
    if json:
        output.print_json(found)
    elif limit:
        output.say(f"Limited tag {tag} to {counted(limit, 'concurrent step')}.")
    else:
        output.say(f"Removed the limit of tag {tag}.")


@app.command("list")
def list_permits(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List the limits and how many permits are taken.

    \b
    kaon permits list
    """
    with options.client(server=server) as client:
        found = client.schedules.permits()
    if json:
        for permits in found:
            output.print_json(permits)
        return
    output.print_table(
        ("TAG", "LIMIT", "TAKEN"),
        ((permits.tag, str(permits.limit), str(permits.taken)) for permits in found),
        nothing="No tag has a limit. Set one: kaon permits set TAG LIMIT",
    )
