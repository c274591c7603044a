"""Options that several commands share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from kaon.client import Client, Endpoints
from kaon.client.channel import DEFAULT_PUBLISHER, DEFAULT_SERVER

Server: TypeAlias = Annotated[
    str, typer.Option("--server", envvar="KAON_SERVER", help="Address of the coordinator, host:port.")
]
Publisher: TypeAlias = Annotated[
    str, typer.Option("--server", envvar="KAON_PUBLISHER", help="Address of the model publisher, host:port.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for scripts.")]
RunId: TypeAlias = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
WorkflowFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="A Python file that defines a Workflow.", show_default=False)
]
WorkflowName: TypeAlias = Annotated[
    str | None, typer.Option("--workflow", help="Which workflow of the file, when it defines several.")
]
Params: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", metavar="NAME=JSON", help="A parameter; again for each. Text needs no quotes."
    ),
]

SERVER = DEFAULT_SERVER
PUBLISHER = DEFAULT_PUBLISHER


def client(*, server: str = SERVER, publisher: str = PUBLISHER) -> Client:
    """A client for the addresses that options give, with tenant, principal and roles of the environment."""
    return Client(replace(Endpoints.from_environment(), server=server, publisher=publisher))


def split_params(written: list[str] | None) -> dict[str, str]:
    """The texts of -p options by name.

    Raises:
        typer.BadParameter: one has no "=", or a name comes twice.
    """
    texts: dict[str, str] = {}
    for text in written or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"-p {text}: write -p NAME=JSON, such as -p min_ratings=30")
        if name in texts:
            raise typer.BadParameter(f"-p {name} is given twice")
        texts[name] = value
    return texts
