"""Commands about the caller: login, logout, whoami."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from kaon.cli import options, output
from kaon.client import KaonError
from kaon.client.access import whoami as ask_who
from kaon.client.bearer import TOKEN
from kaon.client.errors import AccessDenied
from kaon.client.logins import Login, LoginFile
from kaon.client.oidc import Issuer, Prompt, Tokens
from kaon_wire.errors import InvalidValue
from kaonapi.access.v1 import access_service_pb2 as a

# In this order: an access token is made for services, and some issuers give one that only they can read.
_SHOWN = ("access_token", "id_token")


def login(
    token: Annotated[
        str,
        typer.Option(
            "--token", metavar="-", help="Read a static token from standard input instead."
        ),
    ] = "",
    issuer: Annotated[
        str,
        typer.Option(
            "--issuer",
            metavar="URL",
            envvar="KAON_OIDC_ISSUER",
            help="The OIDC issuer that the server trusts.",
        ),
    ] = "",
    client_id: Annotated[
        str,
        typer.Option(
            "--client-id",
            metavar="ID",
            envvar="KAON_OIDC_CLIENT_ID",
            help="The public client that is registered there for Kaon's command line.",
        ),
    ] = "kaon",
    server: options.Server = options.SERVER,
) -> None:
    """Log in at a server, and keep the login in the user's configuration.

    With --issuer, open the page that is printed on any device, and confirm the code there. Commands renew the login before it ends.

    \b
    kaon login --issuer https://login.example.org
    kaon login --token - < token.txt
    """
    if not token and not issuer:
        raise typer.BadParameter("use --issuer URL, or --token -")
    if token:
        kept, caller = _static(token, server)
    else:
        kept, caller = _interactive(issuer, client_id, server)
    file = LoginFile()
    with file.locked():
        file.put(server, kept)
    output.say(f"Logged in at {server} as {_told(caller)}.")
    if kept.expires and not kept.refresh_token:
        end = datetime.fromtimestamp(kept.expires, UTC).astimezone()
        output.say(f"The issuer gives no refresh token: the login ends at {end:%Y-%m-%d %H:%M}.")
    if os.environ.get(TOKEN):
        output.note(f"warning: {TOKEN} is set and goes before the login")


def logout(server: options.Server = options.SERVER) -> None:
    """Forget the login at a server, and end it at its issuer. A static token stays valid until it is revoked.

    \b
    kaon logout
    """
    file = LoginFile()
    with file.locked():
        kept = file.get(server)
        file.put(server, None)
    if kept is None:
        output.say(f"There is no login at {server}.")
        return
    if kept.refresh_token:
        try:
            Issuer(kept.issuer, kept.client_id, kept.ca).revoke(kept.refresh_token)
        except KaonError as error:
            output.note(f"warning: the login may go on at its issuer: {error}")
    output.say(f"Logged out at {server}.")


def whoami(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """Print who you are for a server, and what you may do.

    \b
    kaon whoami
    """
    with options.client(server=server) as client:
        caller = client.access.whoami()
    if json:
        output.print_json(caller)
    else:
        output.say(
            f"{_told(caller)}, known by {_HOW.get(caller.authentication, caller.authentication)}"
        )


_HOW = {
    "off": "what it says itself: authentication is off, and everybody may do everything",
    "token": "a static token",
    "oidc": "an OIDC login",
    "certificate": "a client certificate",
    "service": "a service",
}


def _told(caller: a.Caller) -> str:
    kind = (
        ""
        if caller.kind == "person"
        else f" ({caller.kind}{caller.pool and ' of pool ' + caller.pool})"
    )
    roles = f"roles {', '.join(caller.roles)}" if caller.roles else "no roles"
    return f"{caller.name}{kind} of tenant {caller.tenant}, {roles}"


def _static(token: str, server: str) -> tuple[Login, a.Caller]:
    if token != "-":
        raise typer.BadParameter(
            "--token takes only -, for standard input: the list of processes shows what stands in a command line"
        )
    given = sys.stdin.readline().strip()
    if not given:
        raise InvalidValue("standard input holds no token")
    return Login(token=given), ask_who(server, given)


def _interactive(issuer: str, client_id: str, server: str) -> tuple[Login, a.Caller]:
    ca = os.environ.get("KAON_TLS_CA", "")
    found = Issuer(issuer, client_id, ca).device_login(_ask)
    shows, caller = _accepted(found, server)
    kept = Login(
        token=getattr(found, shows),
        expires=found.expires(shows, time.time()),
        issuer=issuer,
        client_id=client_id,
        refresh_token=found.refresh_token,
        shows=shows,
        ca=ca,
    )
    return kept, caller


def _accepted(found: Tokens, server: str) -> tuple[str, a.Caller]:
    """Return which of the tokens the server accepts, and whom it sees.

    Raises:
        AccessDenied: It accepts none.
    """
    for shows in _SHOWN:
        if token := getattr(found, shows):
            try:
                return shows, ask_who(server, token)
            except AccessDenied as error:
                refused = error
    raise AccessDenied(
        f"the login succeeded, and the server {server} does not accept it ({refused}): its administrator finds the reason in "
        "its log"
    )


def _ask(prompt: Prompt) -> None:
    output.note(f"Open {prompt.whole_url or prompt.url}")
    output.note(f"and confirm the code {prompt.code}")
