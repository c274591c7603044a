"""The entry point of `kaon`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from kaon.cli.commands import (
    again,
    control,
    doctor,
    graph,
    logs,
    models,
    permits,
    runners,
    runs,
    schedules,
    showing,
    waiting,
    workflows,
)
from kaon.cli.plugins import PluginGroup
from kaon_wire.errors import KaonError

FAILURE = 1
USAGE = 2
INTERRUPTED = 130

# What typer raises when a command line is wrong; it does not export the class itself.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    cls=PluginGroup,
    name="kaon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Kaon orchestrates machine-learning workflows whose steps run in different engines.

\b
kaon run recommendations.py                 run a workflow here, without any server
kaon submit recommendations.py --watch      run it on a server, and look on
kaon list                                   what runs, and what ran
kaon logs RUN                               what its steps printed
kaon show RUN                               its steps, and what waits for an answer
kaon why RUN STEP                           why a step does not run yet

KAON_SERVER and KAON_PUBLISHER name the services, KAON_TENANT, KAON_PRINCIPAL and KAON_ROLES who you are.
Exit codes: 0 done, 1 failed, 2 wrong usage (or, from watch and run, a cancelled run).""",
)
app.command("submit")(runs.submit)
app.command("list")(runs.list_runs)
app.command("show")(showing.show)
app.command("watch")(runs.watch)
app.command("logs")(logs.logs)
app.command("history")(showing.history)
app.command("verify")(showing.verify)
app.command("why")(waiting.why)
app.command("cancel")(control.cancel)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("signal")(control.signal)
app.command("approve")(control.approve)
app.command("reject")(control.reject)
app.command("retry")(control.retry)
app.command("restart")(control.restart)
app.command("mark")(control.mark)
app.command("priority")(control.priority)
app.command("rerun")(again.rerun)
app.command("fork")(again.fork)
app.command("backfill")(schedules.backfill)
app.command("runners")(runners.runners)
app.command("pools")(runners.pools)
app.command("doctor")(doctor.doctor)
app.command("validate")(workflows.validate)
app.command("graph")(graph.graph)
app.add_typer(schedules.app, name="schedule")
app.add_typer(permits.app, name="permits")
app.add_typer(models.app, name="models")
app.add_typer(workflows.app, name="workflows")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process: one line on standard error and a code when it fails."""
    sys.exit(execute(arguments))


def execute(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = app(args=arguments, prog_name="kaon", standalone_mode=False)
        sys.stdout.flush()
    except KaonError as error:
        return _fail(str(error), FAILURE)
    except typer.Abort:
        return _fail("stopped", INTERRUPTED)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone, as in `kaon list | head`; nothing more can be said, not even at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except _UsageError as error:
        return _wrong_usage(error)
    return code if isinstance(code, int) else 0


def _wrong_usage(error: BaseException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kaon"
    text = str(getattr(error, "format_message", lambda: error)())
    if not text:  # help was printed instead of a command
        return USAGE
    return _fail(f"{text.rstrip('.')} (see {command} --help)", USAGE)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"kaon: {text}\n")
    return code
