"""`kaon run FILE`, and access for other commands to the directory that it leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kaon.cli import options, output
from kaon.cli.commands import runs
from kaon.client import params as parameters
from kaon_embedded import foreground
from kaon_embedded.leftovers import leftovers
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, look, pools_of
from kaon_telemetry.logs import configure_logs
from kaon_wire.errors import KaonError

if TYPE_CHECKING:
    from kaon_console.beside import Console


def run(
    file: options.WorkflowFile,
    param: options.Params = None,
    workflow: options.WorkflowName = None,
    *,
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
    ui: Annotated[
        bool,
        typer.Option("--ui", help="Serve the web console beside the run, and after it until Ctrl-C."),
    ] = False,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port of the console; 0: a free one.")
    ] = 7072,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print what the steps print.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --state: continue the newest run, with its own code; what failed is retried.",
        ),
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="With --state: cancel a run that was left unfinished.")
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            "--only", metavar="STEP", help="Execute only this python step, in this process: for breakpoint()."
        ),
    ] = "",
    from_run: Annotated[
        str,
        typer.Option("--from", metavar="RUN", help="With --only: the run in --state whose inputs it gets."),
    ] = "",
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Repeat a python step that fails in this process, and stop in pdb there."
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
    kaon run tour.py --only train --from 01JD3Z... --state .kaon/local    # breakpoint() works
    kaon run tour.py --debug                  # pdb at the line that fails
    kaon run tour.py --ui                     # prints the link to the web console
    """
    configure_logs("info" if verbose else "error")
    # Before any part starts: an error in the file is reported at once.
    loaded, params = runs.prepare(file, workflow, param)
    if (resume or discard or from_run) and state is None:
        raise typer.BadParameter("--resume, --discard and --from need --state DIR")
    if only:
        encoded = parameters.encode(loaded.definition(), params, complete=not from_run)
        raise typer.Exit(
            foreground.execute(
                foreground.Wanted(
                    workflow=loaded,
                    step=only,
                    state=state or Path(),
                    run_id=from_run,
                    params=encoded,
                    debug=debug,
                )
            )
        )
    left = leftovers(state) if state is not None else None
    if left is not None and not resume and not discard:
        left.refuse()
    submission = left.resumption() if left is not None and resume else runs.of_file(loaded, params)
    run_ids: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kaon-run-") as scratch:
        pools = pools_of(loaded.definition())
        settings = EmbeddedSettings(state=state or Path(scratch), slots=slots, pools=pools)
        with EmbeddedSystem(settings) as system, ExitStack() as beside:
            if lacks := system.lacks(loaded.definition()):
                raise KaonError("; ".join(lacks))
            if left is not None and discard:
                with options.client(server=system.address) as client:
                    left.discard(client)
            console = beside.enter_context(console_beside(settings, system, port)) if ui else None
            code = runs.start(
                submission,
                tells=not resume,
                watch=True,
                owns=True,
                prints=not quiet,
                server=system.address,
                json=json,
                submitted=partial(_submitted, console, run_ids),
            )
            if console is not None:
                _stay(console)
        if debug and code == 1 and (failed := foreground.first_failure(settings.state, run_ids[0])):
            output.note(f"Repeating {failed} in this process; pdb stops where it fails.")
            foreground.execute(
                foreground.Wanted(
                    workflow=loaded,
                    step=failed,
                    state=settings.state,
                    run_id=run_ids[0],
                    params={},
                    debug=True,
                )
            )
    raise typer.Exit(code)


def console_beside(settings: EmbeddedSettings, system: EmbeddedSystem, port: int) -> Console:
    """Return the console of an embedded system, not started."""
    # A web server, which most runs do without.
    from kaon_console.beside import Console

    return Console(system.address, port=port, artifacts=settings.artifacts)


def _submitted(console: Console | None, run_ids: list[str], run_id: str) -> None:
    run_ids.append(run_id)
    if console is None:
        return
    output.note(f"The console shows it; this link logs you in, once: {console.link(f'/runs/{run_id}')}")


def _stay(console: Console) -> None:
    """Serve the console until Ctrl-C."""
    output.note("The console goes on until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        console.wait()


@contextmanager
def open_state(state: Path) -> Iterator[str]:
    """Yield the address at which commands with `--state` find the runs in a directory."""
    configure_logs("error")
    with look(state) as address:
        yield address
