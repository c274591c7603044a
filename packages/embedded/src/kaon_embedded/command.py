"""`kaon run FILE`. What it runs with is loaded when the file has turned out to be well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from kaon.cli import options
from kaon.cli.commands import runs
from kaon_wire.loading import loading


def run(
    file: options.WorkflowFile,
    param: options.Params = None,
    workflow: options.WorkflowName = None,
    *,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", min=1, help="Most steps that run concurrently.")
    ] = os.cpu_count() or 2,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Keep runs, logs and artifacts in this directory; default: delete them afterwards.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print the logs of coordinator and runner.")
    ] = False,
    ui: Annotated[
        bool,
        typer.Option(
            "--ui", help="Serve the web console beside the run, and after it until Ctrl-C."
        ),
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65535, help="Port of the console; 0: a free one."
        ),
    ] = 7072,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not print what the steps print.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --state: continue the newest run. What failed is retried, with the code that FILE has now.",
        ),
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="With --state: cancel a run that was left unfinished.")
    ] = False,
    until: options.Until = None,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="STEP",
            help="Execute only this python step, in this process: for breakpoint().",
        ),
    ] = "",
    from_run: Annotated[
        str,
        typer.Option(
            "--from", metavar="RUN", help="With --only: the run in --state whose inputs it gets."
        ),
    ] = "",
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Repeat a python step that fails in this process, and stop in pdb there.",
        ),
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
    kaon run tour.py --state .kaon/local --resume
    kaon run tour.py --until train            # train and what comes before it
    kaon run tour.py --only train --from 01JD3Z... --state .kaon/local    # breakpoint() works
    kaon run tour.py --debug                  # pdb at the line that fails
    kaon run tour.py --ui                     # prints the link to the web console
    """
    # Before any part is loaded: an error in the file is reported at once.
    loaded, params = runs.prepare(file, workflow, param)
    if (resume or discard or from_run) and state is None:
        raise typer.BadParameter("--resume, --discard and --from need --state DIR")
    if from_run and not only:
        raise typer.BadParameter("--from needs --only STEP")
    _refuse_together("--resume", resume, {"-p": param, "--until": until, "--discard": discard})
    _refuse_together("--only", only, {"--until": until, "--resume": resume, "--discard": discard})
    with loading():
        from kaon_embedded.running import How, execute

    how = How(
        slots=slots,
        state=state,
        verbose=verbose,
        ui=ui,
        port=port,
        quiet=quiet,
        resume=resume,
        discard=discard,
        until=tuple(until or ()),
        only=only,
        from_run=from_run,
        debug=debug,
        json=json,
    )
    raise typer.Exit(execute(loaded, params, how))


def _refuse_together(option: str, given: object, others: Mapping[str, object]) -> None:
    """Refuse an option beside others that would have no effect."""
    if given and (useless := [name for name, value in others.items() if value]):
        verb = "has" if len(useless) == 1 else "have"
        raise typer.BadParameter(
            f"{' and '.join(useless)} {verb} no effect with {option}: leave out what is not meant"
        )
