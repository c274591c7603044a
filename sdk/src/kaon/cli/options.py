"""Options that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from kaon.cli import output, plugins
from kaon.cli.probing import probe
from kaon.client import Client, Endpoints
from kaon.client.channel import DEFAULT_PUBLISHER, DEFAULT_SERVER
from kaon.dsl import Workflow, load_workflow

Server: TypeAlias = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="KAON_SERVER",
        help="Address of the coordinator, host:port.",
    ),
]
Publisher: TypeAlias = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="KAON_PUBLISHER",
        help="Address of the model publisher, host:port.",
    ),
]
State: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Read a directory that `kaon run --state` wrote, not a server.",
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")
]
RunId: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="The id of the run, or its beginning.")
]
OtherRunId: TypeAlias = Annotated[
    str, typer.Argument(metavar="RUN", help="The id of the other run.")
]
WorkflowFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="A Python file that defines a Workflow.", show_default=False
    ),
]
NewCode: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="FILE",
        help="Go on with the workflow of this file, in a new run that keeps what fits it. Sub-workflows that have not "
        "succeeded begin anew.",
    ),
]
WorkflowName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--workflow", metavar="NAME", help="The workflow to use, when the file defines several."
    ),
]
Params: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="NAME=JSON",
        help="A parameter; repeat for more. Text needs no quotes; @PATH gives a file to an artifact.",
    ),
]

Fields: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="NAME=JSON",
        help="A field for which the gate asks; repeat for more. Text needs no quotes.",
    ),
]
Key: TypeAlias = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Idempotency key: a second call with the same key returns the run of the first.",
    ),
]
Labels: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="A label of the run; repeat for more."),
]
HasLabels: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAME[=VALUE]",
        help="List only runs that have this label; repeat for more. Without a value: whatever it is.",
    ),
]
Priority: TypeAlias = Annotated[
    int,
    typer.Option(
        "--priority",
        metavar="N",
        help="Priority that is added to that of every step; higher is scheduled first.",
    ),
]
Until: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--until",
        metavar="STEP",
        help="Run this step or block and what comes before it, and no others; repeat for more.",
    ),
]
Prints: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--logs", help="Print what the steps print while the run is watched; implies --watch."
    ),
]
SomePath: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="[PATH]", help="Path of a block, cell or step; default: the whole run."),
]
ThePath: TypeAlias = Annotated[
    str, typer.Argument(metavar="PATH", help="Path of a block or step.", show_default=False)
]
GatePath: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="[PATH]", help="Path of the approval gate; default: the only pending one."
    ),
]
Reason: TypeAlias = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Reason, recorded in the history.")
]
Comment: TypeAlias = Annotated[
    str, typer.Option("--comment", metavar="TEXT", help="Comment, recorded in the history.")
]
Seq: TypeAlias = Annotated[
    int,
    typer.Option(
        "--at",
        metavar="SEQ",
        min=0,
        help="Use the state after this event of the history; 0 is the newest.",
    ),
]
After: TypeAlias = Annotated[
    int, typer.Option("--after", metavar="SEQ", min=0, help="Print only events after this number.")
]

SERVER = DEFAULT_SERVER
PUBLISHER = DEFAULT_PUBLISHER


def is_file(target: str) -> bool:
    """Whether an argument that may be a file or a name is a file, or was meant to be one."""
    return target.endswith(".py") or "/" in target or Path(target).is_file()


def load(file: Path, name: str | None) -> Workflow:
    """Load and check the workflow of a file, and print its warnings.

    What the file prints while it is loaded goes to standard error, as warnings do: standard output is the command's.

    Raises:
        WorkflowError: the file does not define the workflow, or the workflow could not run.
    """
    with redirect_stdout(sys.stderr):
        workflow = load_workflow(file, name)
    workflow.definition()
    for warning in workflow.warnings:
        output.note(f"warning: {warning}")
    return workflow


def client(*, server: str = "", publisher: str = "", probes: bool = True) -> Client:
    """Make a client for the addresses of the options, with tenant, principal and roles of the environment.

    Addresses that a command has no option for are those of the environment: a login belongs to a coordinator.

    Raises:
        Unavailable: nothing listens at the server's address; with `probes` that is known at once.
    """
    found = Endpoints.from_environment()
    found = replace(found, server=server or found.server, publisher=publisher or found.publisher)
    if probes:
        probe(found.server, "KAON_SERVER")
    return Client(found)


@contextmanager
def reached(*, server: str, state: Path | None) -> Iterator[Client]:
    """Make a client for a server, or for the runs that are kept in a directory.

    Raises:
        KaonError: the directory keeps no runs.
    """
    if state is None:
        with client(server=server) as found:
            yield found
        return
    with plugins.state_opener()(state) as address, client(server=address) as found:
        yield found


def unless_found(server: str) -> str:
    """Return the address of the server when it is not the one of the environment; else nothing."""
    return "" if server == Endpoints.from_environment().server else server


def split_params(written: list[str] | None) -> dict[str, str]:
    """Return the texts of -p options by name.

    Raises:
        typer.BadParameter: one has no "=", or a name comes twice.
    """
    return split_named(written, "-p")


def split_labels(written: list[str] | None, *, may_lack_value: bool) -> dict[str, str]:
    """Return the values of --label options by name.

    Raises:
        typer.BadParameter: one has no value although it needs one, or a name comes twice.
    """
    if may_lack_value:
        written = [text if "=" in text else f"{text}=" for text in written or []]
    return split_named(written, "--label", "NAME=VALUE, such as team=search")


def split_named(
    written: list[str] | None, option: str, form: str = "NAME=JSON, such as rows=30"
) -> dict[str, str]:
    """Return the texts of NAME=JSON options by name.

    Raises:
        typer.BadParameter: one has no "=", or a name comes twice.
    """
    texts: dict[str, str] = {}
    for text in written or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option} {text}: write {option} {form}")
        if name in texts:
            raise typer.BadParameter(f"{option} {name} is given twice")
        texts[name] = value
    return texts
