"""Runs a workflow on this machine, and gives other commands access to the directory that it leaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaon.cli import options, output
from kaon.cli.commands import runs
from kaon.client import params as parameters
from kaon.dsl import Workflow
from kaon_coordinator.notifications.channels import VARIABLE as NOTIFICATIONS
from kaon_embedded import foreground
from kaon_embedded.leftovers import leftovers
from kaon_embedded.system import (
    PUBLISHER,
    EmbeddedSettings,
    EmbeddedSystem,
    look,
    pools_of,
    step_types_of,
)
from kaon_telemetry.logs import configure_logs
from kaon_wire.errors import KaonError

if TYPE_CHECKING:
    from kaon_console.beside import Console


@dataclass(frozen=True, kw_only=True)
class How:
    """The options of `kaon run`."""

    slots: int
    state: Path | None
    verbose: bool
    ui: bool
    port: int
    quiet: bool
    resume: bool
    discard: bool
    until: tuple[str, ...]
    only: str
    from_run: str
    debug: bool
    json: bool


def execute(loaded: Workflow, params: Mapping[str, Any], how: How) -> int:
    """Run a workflow, and return the exit code."""
    configure_logs("info" if how.verbose else "error", for_people=not how.verbose)
    state, resume, discard, debug = how.state, how.resume, how.discard, how.debug
    if how.only:
        encoded = parameters.encode(loaded.definition(), params, complete=not how.from_run)
        return foreground.execute(
            foreground.Wanted(
                workflow=loaded,
                step=how.only,
                state=state or Path(),
                run_id=how.from_run,
                params=encoded,
                debug=debug,
            )
        )
    left = leftovers(state) if state is not None else None
    if left is not None and not resume and not discard:
        left.refuse()
    submission = (
        left.resumption(loaded)
        if left is not None and resume
        else runs.of_file(loaded, dict(params), until=how.until)
    )
    run_ids: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kaon-run-") as scratch:
        pools, types = pools_of(loaded.definition()), step_types_of(loaded)
        settings = EmbeddedSettings(
            state=state or Path(scratch),
            slots=how.slots,
            pools=pools,
            # A run that is resumed may have other steps than the file has now.
            step_types=() if resume else types,
            publishes="publish" in types,
        )
        if settings.publishes and state is None and not os.environ.get(PUBLISHER):
            output.note(
                "The published model goes with the run's files when the command ends: --state DIR keeps both."
            )
        _tell_of_channels(loaded)
        with EmbeddedSystem(settings) as system, ExitStack() as beside:
            if lacks := system.lacks(loaded.definition()):
                raise KaonError("; ".join(lacks))
            if left is not None and discard:
                with options.client(server=system.address) as client:
                    left.discard(client)
            console = (
                beside.enter_context(console_beside(settings, system, how.port)) if how.ui else None
            )
            code = runs.start(
                submission,
                tells=not resume,
                watch=True,
                owns=True,
                prints=not how.quiet,
                server=system.address,
                json=how.json,
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
    return code


def _tell_of_channels(workflow: Workflow) -> None:
    named = dict.fromkeys(each.channel for each in workflow.definition().notifications)
    if named and not os.environ.get(NOTIFICATIONS):
        output.note(
            f"Nobody is notified ({', '.join(named)}): set {NOTIFICATIONS} to a file of channels."
        )


def console_beside(settings: EmbeddedSettings, system: EmbeddedSystem, port: int) -> Console:
    """Return the console of an embedded system, not started."""
    # A web server, which most runs do without.
    from kaon_console.beside import Console

    return Console(system.address, port=port, access=settings.calls.access)


def _submitted(console: Console | None, run_ids: list[str], run_id: str) -> None:
    run_ids.append(run_id)
    if console is None:
        return
    output.note(
        f"The console shows it; this link logs you in, once: {console.link(f'/runs/{run_id}')}"
    )


def _stay(console: Console) -> None:
    """Serve the console until Ctrl-C."""
    output.note("The console goes on until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        console.wait()


@contextmanager
def open_state(state: Path) -> Iterator[str]:
    """Yield the address at which commands with `--state` find the runs in a directory."""
    configure_logs("error", for_people=True)
    with look(state) as address:
        yield address
