"""Commands to a run that is there."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import formatting, options, output
from kaon.client import Client, KaonError, NotFound
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2

# Exit code of a command that is stored and that the run's owner has not applied in time.
UNANSWERED = 3

_MARKS = {
    "succeeded": run_pb2.STATUS_SUCCEEDED,
    "failed": run_pb2.STATUS_FAILED,
    "skipped": run_pb2.STATUS_SKIPPED,
}


def cancel(
    run: options.RunId,
    path: options.SomePath = "",
    skip: Annotated[
        bool, typer.Option("--skip", help="What stops counts as skipped: what is around it goes on.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Hooks (finally, on failure) are stopped too.")
    ] = False,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Ask a run, or a block, cell or step of it, to stop. Steps are stopped with everything that they started.

    \b
    kaon cancel 01JD3Z... --reason "wrong cohort"
    kaon cancel 01JD3Z... 'regions[US]' --skip      # the other cells go on
    """
    with options.client(server=server) as client:
        found = client.cancel(run, reason, path=path, skip=skip, force=force)
    _tell(found, f"{path} stops." if path else "", json=json)


def pause(
    run: options.RunId,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Start nothing new in a run until it is resumed; what runs goes on.

    \b
    kaon pause 01JD3Z... --reason "the cluster is full"
    """
    with options.client(server=server) as client:
        _tell(client.pause(run, reason), "Nothing new starts until it is resumed.", json=json)


def resume(
    run: options.RunId,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Let a paused run go on.

    \b
    kaon resume 01JD3Z...
    """
    with options.client(server=server) as client:
        _tell(client.resume(run, reason), "It goes on.", json=json)


def signal(
    run: options.RunId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)],
    payload: Annotated[str, typer.Argument(metavar="[JSON]", help="What it carries.")] = "null",
    step: Annotated[str, typer.Option("--step", help="For the running step at this path alone.")] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Send a signal to the gates of a run that wait for it, or to one running step. One that comes early is kept for its gate.

    \b
    kaon signal 01JD3Z... data-ready '{"rows": 12}'
    kaon signal 01JD3Z... stop-soon --step train
    """
    with options.client(server=server) as client:
        _tell(client.signal(run, name, _value(payload), path=step), f"Signal {name} is sent.", json=json)


def approve(
    run: options.RunId,
    path: options.GatePath = "",
    comment: options.Comment = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Agree to what an approval of a run asks. KAON_ROLES names your roles, with commas between them.

    \b
    kaon approve 01JD3Z...                          # the only approval that waits
    kaon approve 01JD3Z... release --comment "looks good"
    """
    _answer(run, path, comment, server, approved=True, json=json)


def reject(
    run: options.RunId,
    path: options.GatePath = "",
    comment: options.Comment = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Refuse what an approval of a run asks.

    \b
    kaon reject 01JD3Z... release --comment "rmse is worse than last week's"
    """
    _answer(run, path, comment, server, approved=False, json=json)


def retry(
    run: options.RunId,
    path: options.SomePath = "",
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Run again what has failed, and keep what has succeeded, also in the runs of sub-workflows.

    \b
    kaon retry 01JD3Z...
    kaon retry 01JD3Z... 'regions[US]'              # only what failed in this cell
    """
    with options.client(server=server) as client:
        _tell(
            client.retry(run, path, reason),
            f"What failed{f' in {path}' if path else ''} runs again.",
            json=json,
        )


def restart(
    run: options.RunId,
    path: options.ThePath,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Run again a block or step and what comes after it, and keep what came before. A sub-workflow gets a new run.

    \b
    kaon restart 01JD3Z... train
    """
    with options.client(server=server) as client:
        _tell(client.restart(run, path, reason), f"{path} and what comes after it run again.", json=json)


def mark(
    run: options.RunId,
    path: options.ThePath,
    status: Annotated[str, typer.Argument(metavar="STATUS", help="succeeded, failed or skipped.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; it is kept in the history.", show_default=False)
    ],
    given: Annotated[
        list[str] | None,
        typer.Option("-o", "--output", metavar="NAME=JSON", help="An output, for succeeded; again for each."),
    ] = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Settle a step or block by hand; who did it and why is in the history.

    \b
    kaon mark 01JD3Z... load succeeded -o rows=12 --reason "loaded by hand"
    kaon mark 01JD3Z... report skipped --reason "not needed today"
    """
    if status.lower() not in _MARKS:
        raise typer.BadParameter(f"{status}: a step is marked {', '.join(_MARKS)}")
    outputs = {name: _value(text) for name, text in options.split_named(given, "-o").items()}
    with options.client(server=server) as client:
        found = client.mark(run, path, _MARKS[status.lower()], outputs=outputs, reason=reason)
    _tell(found, f"{path} is marked {status.upper()}.", json=json)


def priority(
    run: options.RunId,
    value: Annotated[
        int, typer.Argument(metavar="NUMBER", help="Higher goes first; 0 is usual.", show_default=False)
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Change the priority of a run: what is added to that of each of its steps.

    \b
    kaon priority 01JD3Z... 10
    kaon priority 01JD3Z... -- -5
    """
    with options.client(server=server) as client:
        _tell(client.set_priority(run, value), f"Its priority is {value}.", json=json)


def _answer(run: str, path: str, comment: str, server: str, *, approved: bool, json: bool) -> None:
    with options.client(server=server) as client:
        path = path or _only_approval(client, run)
        found = client.answer(run, path, approved=approved, comment=comment)
    _tell(found, f"{path} is {'approved' if approved else 'rejected'}.", json=json)


def _only_approval(client: Client, run: str) -> str:
    """The approval of the run that waits, when there is just one."""
    blocks = client.run(run).blocks
    waiting = [
        block.path for block in blocks if block.status == run_pb2.STATUS_WAITING and block.gate == "approval"
    ]
    if not waiting:
        raise NotFound(f"no approval of run {run} waits for an answer")
    if len(waiting) > 1:
        raise KaonError(f"run {run} waits for several approvals; name one: {', '.join(waiting)}")
    return waiting[0]


def _value(text: str) -> object:
    """JSON, or plain text where it is none."""
    try:
        return canonical.loads(text)
    except InvalidValue:
        return text


def _tell(run: run_pb2.Run, what: str, *, json: bool) -> None:
    """Prints what the engine has made of a command; ends the process with `UNANSWERED` when it has not answered in time."""
    if json:
        output.print_json(run)
    elif not run.commands_waiting:
        output.say(f"{what}{' ' if what else ''}Run {run.run_id} is {formatting.status(run.status)}.")
    else:
        output.say(
            f"The command is stored, but the coordinator that owns run {run.run_id} has not applied it yet; the run is "
            f"{formatting.status(run.status)}. The command stays valid: `kaon show {run.run_id}` tells how many commands wait, "
            "`kaon doctor` why."
        )
    if run.commands_waiting:
        raise typer.Exit(UNANSWERED)
