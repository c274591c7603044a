"""Commands that make a new run from an earlier one."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import new_code, options, output
from kaon.cli.values import named
from kaon.client import Client
from kaon.client import params as parameters
from kaonapi.run.v1 import run_service_pb2


def rerun(
    run: options.RunId,
    param: options.Params = None,
    version: Annotated[
        str,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Workflow version, sha256:...; default: that of the earlier run.",
        ),
    ] = "",
    key: options.Key = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Submit a new run with the parameters of an earlier run, and with changes.

    \b
    kaon rerun 01JD3Z...
    kaon rerun 01JD3Z... -p min_ratings=30
    """
    with options.client(server=server) as client:
        params = _parsed(client, run, param, version)
        _tell(client.rerun(run, params, version=version, key=key), "like", run, json=json)


def fork(
    run: options.RunId,
    at: options.Seq = 0,
    param: options.Params = None,
    reset: Annotated[
        list[str] | None,
        typer.Option(
            "--reset",
            metavar="PATH",
            help="Path of a block to reset, with all blocks after it; repeat for more.",
        ),
    ] = None,
    file: options.NewCode = None,
    key: options.Key = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Start a new run from the state of another run. It keeps the nodes that had ended and restarts those that were active.

    With --file the code of the file runs, and what had failed begins anew, too.

    \b
    kaon fork 01JD3Z... --at 120
    kaon fork 01JD3Z... --reset train -p rate=0.01
    kaon fork 01JD3Z... --reset train --file workflow.py
    """
    with options.client(server=server) as client:
        if file is not None:
            new_code.go_on(
                client,
                run,
                file,
                seq=at,
                param=param,
                reset=reset or (),
                failed=True,
                key=key,
                of_ended=False,
                json=json,
            )
            return
        params = _parsed(client, run, param, "")
        forked = client.fork(run, at, params, reset=reset or (), key=key)
        _tell(forked, f"from event {at} of" if at else "from", run, json=json)


def _parsed(client: Client, run: str, written: list[str] | None, version: str) -> dict[str, object]:
    texts = options.split_params(written)
    return parameters.parse(client.definition_of(run, version), texts) if texts else {}


def _tell(
    made: run_service_pb2.RerunRunResponse | run_service_pb2.ForkRunResponse,
    how: str,
    run: str,
    *,
    json: bool,
) -> None:
    if json:
        output.print_json(made)
        return
    what = "Submitted run" if made.created else "Key already used by run"
    output.say(f"{what} {made.run.run_id} of {named(made.run)}, {how} {run}.")
