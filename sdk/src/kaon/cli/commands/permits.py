"""Commands about permits: how many steps of a tag may run at once."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output

app = typer.Typer(help="Bound how many steps of a tag run at once.", no_args_is_help=True)


@app.command("set")
def set_permits(
    tag: Annotated[str, typer.Argument(metavar="TAG", show_default=False)],
    limit: Annotated[
        int, typer.Argument(metavar="LIMIT", min=0, help="0 removes the bound.", show_default=False)
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Let at most LIMIT steps that carry TAG run at once in the tenant, everywhere.

    \b
    kaon permits set database 4
    """
    with options.client(server=server) as client:
        found = client.schedules.set_permits(tag, limit)
    if json:
        output.print_json(found)
    elif limit:
        output.say(f"At most {limit} steps of tag {tag} run at once.")
    else:
        output.say(f"Steps of tag {tag} are not bounded any more.")


@app.command("list")
def list_permits(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List the bounds, and how much of them is taken.

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
        nothing="No tag is bounded. Bound one: kaon permits set TAG LIMIT",
    )
