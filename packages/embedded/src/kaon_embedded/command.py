"""`kaon run FILE`, and what lets other commands look into the directory that it leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from kaon.cli import options
from kaon.cli.commands import runs
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, look
from kaon_telemetry.logs import configure_logs


def run(
    file: options.WorkflowFile,
    param: options.Params = None,
    workflow: options.WorkflowName = None,
    slots: Annotated[
        int, typer.Option("--slots", min=1, help="Most steps that run concurrently.")
    ] = os.cpu_count() or 2,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="Keep runs, logs and artifacts in this directory; default: delete them afterwards.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the logs of coordinator and runner.")
    ] = False,
    json: options.AsJson = False,
) -> None:
    """Run the workflow of FILE on this machine, without a broker or a server.

    Exit codes: 0 succeeded, 1 failed, 2 cancelled. Ctrl-C cancels the run and waits for its hooks. A second Ctrl-C exits at once,
    with code 130.

    \b
    kaon run tour.py
    kaon run tour.py -p count=5 --slots 4
    kaon run tour.py --state .kaon/local      # keeps the run, its logs and artifacts
    """
    configure_logs("info" if verbose else "error")
    # Before any part starts: an error in the file is reported at once.
    loaded, params = runs.prepare(file, workflow, param)
    with tempfile.TemporaryDirectory(prefix="kaon-run-") as scratch:
        settings = EmbeddedSettings(state=state or Path(scratch), slots=slots)
        with EmbeddedSystem(settings) as system:
            code = runs.start(loaded, params, watch=True, owns=True, server=system.address, json=json)
    raise typer.Exit(code)


@contextmanager
def open_state(state: Path) -> Iterator[str]:
    """Yield the address at which commands with `--state` find the runs in a directory."""
    configure_logs("error")
    with look(state) as address:
        yield address
