"""Commands about static tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from kaon.cli import formatting, options, output
from kaonapi.access.v1 import access_service_pb2 as a

app = typer.Typer(help="Make, list and revoke static tokens.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whom it stands for.", show_default=False)
    ],
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", metavar="ROLE", help="A role, at most one of your own; repeat for more."
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="What it stands for: person, runner or consumer."
        ),
    ] = "person",
    pool: Annotated[str, typer.Option("--pool", metavar="POOL", help="The pool of a runner.")] = "",
    days: Annotated[
        int,
        typer.Option("--days", metavar="N", min=0, help="Days until it ends; 0: it never ends."),
    ] = 90,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Make a token in your tenant. It is printed once, on standard output, and kept nowhere.

    \b
    kaon tokens create nightly --role operator > token.txt
    kaon tokens create gpu-runners --kind runner --pool gpu
    """
    end = datetime.now(UTC) + timedelta(days=days) if days else None
    with options.client(server=server) as client:
        made = client.access.create_token(name, role or (), kind=kind, pool=pool, expires=end)
    if json:
        output.print_json(made)
        return
    until = formatting.moment(made.token.expire_time) if days else "for ever"
    output.note(
        f"Made token {made.token.token_id} for {name}, valid {'until ' if days else ''}{until}."
    )
    output.say(made.secret)


@app.command("list")
def list_tokens(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List the tenant's tokens, newest first.

    \b
    kaon tokens list
    """
    with options.client(server=server) as client:
        found = list(client.access.tokens())
    if json:
        for token in found:
            output.print_json(token)
        return
    now = datetime.now(UTC)
    output.print_table(
        ("TOKEN", "NAME", "FOR", "STATUS", "MADE BY", "ROLES"),
        (
            (
                token.token_id,
                token.caller.name,
                f"{token.caller.kind} {token.caller.pool}".strip(),
                _status(token, now),
                token.created_by,
                " ".join(token.caller.roles),
            )
            for token in found
        ),
        nothing="There are no tokens. Make one: kaon tokens create NAME --role ROLE",
    )


@app.command("revoke")
def revoke(
    token: Annotated[
        str,
        typer.Argument(
            metavar="TOKEN", help="Its id, as kaon tokens list prints it.", show_default=False
        ),
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """End a token. Services notice within 30 seconds.

    \b
    kaon tokens revoke 4f2a9c0d11e37b58
    """
    # Whoever pastes a whole token means its id.
    parts = token.split("_")
    token_id = parts[1] if parts[0] == "kaon" and len(parts) > 2 else token
    with options.client(server=server) as client:
        ended = client.access.revoke_token(token_id)
    if json:
        output.print_json(ended)
    else:
        output.say(f"Revoked token {ended.token_id} of {ended.caller.name}.")


def _status(token: a.Token, now: datetime) -> str:
    if token.HasField("revoke_time"):
        return f"revoked {formatting.moment(token.revoke_time)}"
    if not token.HasField("expire_time"):
        return "valid"
    ended = token.expire_time.ToDatetime(UTC) <= now
    return f"{'ended' if ended else 'until'} {formatting.moment(token.expire_time)}"
