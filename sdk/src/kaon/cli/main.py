"""The commands of `kaon`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import copy
from typing import Annotated, Any

import typer

from kaon.cli.commands import (
    artifacts,
    audit,
    compare,
    datasets,
    doctor,
    export,
    graph,
    lineage,
    login,
    logs,
    models,
    permits,
    rerun,
    runners,
    runs,
    schedules,
    show,
    steer,
    tenants,
    tokens,
    trials,
    why,
    workflows,
)
from kaon.cli.plugins import EXPECTED, PluginGroup
from kaon.cli.screen import shown
from kaon.cli.streams import silence
from kaon_wire.errors import KaonError
from kaon_wire.version import VERSION

FAILURE = 1
USAGE = 2
INTERRUPTED = 130

# What typer raises when a command line is wrong; it does not export the class itself.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    cls=PluginGroup,
    name="kaon",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="""Kaon orchestrates machine-learning workflows whose steps run in different engines.

\b
kaon run recommendations.py                 run a workflow on this machine, without a server
kaon submit recommendations.py --watch      run it on a server and watch it
kaon list                                   list the runs, newest first
kaon logs RUN                               print the logs of its steps
kaon show RUN                               show its steps and pending approvals
kaon why RUN [STEP]                         explain why a step or run does not go on

KAON_SERVER and KAON_PUBLISHER are the addresses of the services. kaon login or KAON_TOKEN identify you; where
authentication is off, KAON_TENANT, KAON_PRINCIPAL and KAON_ROLES do.
Exit codes: 0 success, 1 failure, 2 wrong usage (of watch and run also: the run was cancelled), 3 a command that
is kept until the run's coordinator answers, 130 Ctrl-C.""",
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"kaon {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version of this package.",
        ),
    ] = False,
) -> None:
    """Accept the options that stand before a command."""


# By the heading under which the help lists them.
_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Start runs": {
        "submit": runs.submit,
        "register": workflows.register,
        "rerun": rerun.rerun,
        "fork": rerun.fork,
        "backfill": schedules.backfill,
    },
    "Look at runs": {
        "list": runs.list_runs,
        "show": show.show,
        "watch": runs.watch,
        "logs": logs.logs,
        "history": show.history,
        "why": why.why,
        "verify": show.verify,
        "diff": compare.diff,
        "trials": trials.trials,
        "lineage": lineage.lineage,
    },
    "Steer runs": {
        "cancel": steer.cancel,
        "pause": steer.pause,
        "break": steer.break_,
        "continue": steer.continue_,
        "resume": steer.resume,
        "approve": steer.approve,
        "reject": steer.reject,
        "signal": steer.signal,
        "retry": steer.retry,
        "restart": steer.restart,
        "mark": steer.mark,
        "priority": steer.priority,
    },
    "Workflow files": {"validate": workflows.validate, "graph": graph.graph},
    "You": {"login": login.login, "logout": login.logout, "whoami": login.whoami},
    "The system": {"runners": runners.runners, "pools": runners.pools, "doctor": doctor.doctor},
}
for _heading, _commands in _COMMANDS.items():
    for _name, _function in _commands.items():
        app.command(_name, rich_help_panel=_heading)(_function)
app.add_typer(artifacts.app, name="artifacts", rich_help_panel="Look at runs")
app.add_typer(export.app, name="export", rich_help_panel="Look at runs")
app.add_typer(schedules.app, name="schedule", rich_help_panel="The system")
app.add_typer(datasets.app, name="datasets", rich_help_panel="The system")
app.add_typer(permits.app, name="permits", rich_help_panel="The system")
app.add_typer(models.app, name="models", rich_help_panel="The system")
app.add_typer(audit.app, name="audit", rich_help_panel="The system")
app.add_typer(tokens.app, name="tokens", rich_help_panel="The system")
app.add_typer(tenants.app, name="tenants", rich_help_panel="The system")
app.add_typer(workflows.app, name="workflows", rich_help_panel="The system")


def called(words: Sequence[str]) -> typer.Typer:
    """Return the application with only the command that words call, or with all when the first is no command that it knows.

    Typer reads the signatures of all commands before it runs one, which is an eighth of the time of a short command.
    """
    commands = [each for each in app.registered_commands if each.name in words[:1]]
    groups = [each for each in app.registered_groups if each.name in words[:1]]
    if not commands and not groups and not EXPECTED.keys() & words[:1]:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = commands, groups
    return alone


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = called(words)(args=words, prog_name="kaon", standalone_mode=False)
        sys.stdout.flush()
    except KaonError as error:
        return _fail(str(error), FAILURE)
    except typer.Abort:
        return _fail("stopped", INTERRUPTED)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone, as in `kaon list | head`.
        silence(sys.stdout)
        return FAILURE
    except OSError as error:
        # Such as a full disk behind `kaon list > FILE`.
        silence(sys.stdout)
        return _fail(
            f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILURE
        )
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
    sys.stderr.write(f"kaon: {shown(text)}\n")
    return code
