"""Commands that steer a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from kaon.cli import formatting, gate_form, new_code, options, output
from kaon.cli.values import json_or_text, named
from kaon.client import Client, KaonError, NotFound
from kaon_wire.definitions.gate_fields import fields_of_signal
from kaon_wire.paths import names
from kaon_wire.texts import counted, enumerated
from kaonapi.run.v1 import run_pb2

# Exit code of a command that is stored and that the run's owner has not applied in time.
UNANSWERED = 3

_ENDED_BADLY = frozenset(
    {
        run_pb2.STATUS_FAILED,
        run_pb2.STATUS_CANCELLED,
        run_pb2.STATUS_TIMED_OUT,
        run_pb2.STATUS_QUARANTINED,
    }
)
# Statuses with which a run has ended that no cancellation gives.
_ENDED_OTHERWISE = frozenset({run_pb2.STATUS_SUCCEEDED, *_ENDED_BADLY} - {run_pb2.STATUS_CANCELLED})
_NAMED = 3

_MARKS = {
    "succeeded": run_pb2.STATUS_SUCCEEDED,
    "failed": run_pb2.STATUS_FAILED,
    "skipped": run_pb2.STATUS_SKIPPED,
}


def cancel(
    run: options.RunId,
    path: options.SomePath = "",
    skip: Annotated[
        bool,
        typer.Option(
            "--skip", help="Mark the cancelled nodes SKIPPED so that downstream steps still run."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Cancel the hooks too (finally, on failure).")
    ] = False,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Cancel a run, or one block, cell or step of it. The runners kill the steps with all their processes.

    \b
    kaon cancel 01JD3Z... --reason "wrong cohort"
    kaon cancel 01JD3Z... 'regions[US]' --skip      # the other cells go on
    """
    with options.client(server=server) as client:
        found = client.cancel(run, reason, path=path, skip=skip, force=force)
        stopping = (
            "" if json else _counted(client.run(run).steps, run_pb2.STATUS_CANCELLING, "stopping")
        )
    ended = found.status in _ENDED_OTHERWISE
    told = f"Cancelling{f' {path}' if path else ''}{stopping}."
    _tell(found, "It had ended: nothing is cancelled." if ended else told, json=json)


def pause(
    run: options.RunId,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Pause a run: no new step starts until it is resumed. Running steps continue.

    \b
    kaon pause 01JD3Z... --reason "the cluster is full"
    """
    with options.client(server=server) as client:
        _tell(client.pause(run, reason), "No new step starts until the run is resumed.", json=json)


def resume(
    run: options.RunId,
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Resume a paused run.

    \b
    kaon resume 01JD3Z...
    """
    with options.client(server=server) as client:
        _tell(client.resume(run, reason), "Resumed.", json=json)


def break_(
    run: options.RunId,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="Path of the step, or its name: all of its instances, also later ones.",
            show_default=False,
        ),
    ],
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Let a step wait before it starts. `kaon show RUN STEP` prints its inputs meanwhile.

    \b
    kaon break 01JD3Z... train
    kaon break 01JD3Z... 'regions[US]/train'        # in one cell alone
    """
    with options.client(server=server) as client:
        found = client.set_breakpoint(run, step, reason)
    _tell(found, f"{step} waits before it starts, until `kaon continue`.", json=json)


def continue_(
    run: options.RunId,
    step: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="The step of a breakpoint, which is removed; or one that waits at the breakpoint of its name.",
            show_default=False,
        ),
    ],
    reason: options.Reason = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Remove a breakpoint, and let go on what waits at it.

    \b
    kaon continue 01JD3Z... train
    kaon continue 01JD3Z... 'regions[US]/train'     # the other cells still wait
    """
    with options.client(server=server) as client:
        _tell(client.pass_breakpoint(run, step, reason), f"{step} goes on.", json=json)


def signal(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Id of the run; with --all left out.", show_default=False
        ),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the signal.", show_default=False)
    ] = "",
    payload: Annotated[
        str, typer.Argument(metavar="[JSON]", help="Payload of the signal.", show_default=False)
    ] = "",
    param: options.Fields = None,
    step: Annotated[
        str,
        typer.Option(
            "--step", metavar="PATH", help="Send it to the running step at this path only."
        ),
    ] = "",
    to_all: Annotated[
        bool, typer.Option("--all", help="Send it to all runs in which a gate takes it.")
    ] = False,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="With --all: a second call with this key sends nothing."
        ),
    ] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Send a signal to the gates of a run, to those of all runs, or to one running step. A run keeps an early signal for its gate.

    \b
    kaon signal 01JD3Z... data-ready '{"rows": 12}'
    kaon signal 01JD3Z... data-ready -p rows=12     # a signal with fields; asks for what is missing
    kaon signal 01JD3Z... stop-soon --step train
    kaon signal --all ratings-ready -p day=2026-11-30
    """
    if to_all:
        if payload or step:
            raise typer.BadParameter("--all takes NAME, and JSON or -p; no RUN and no --step")
        _signal_all(run, name, param, key, server, json=json)
        return
    if not name or key:
        raise typer.BadParameter("give RUN and NAME; --key belongs to --all")
    with options.client(server=server) as client:
        given = json_or_text(payload or "null")
        if not step and given is None:
            fields = fields_of_signal(client.definition_of(run), name)
            given = gate_form.filled(fields, param) if fields or param else None
        elif param:
            raise typer.BadParameter("give the payload as JSON or by -p, and -p to gates only")
        _tell(
            client.signal(run, name, given, path=step),
            f"Sent signal {name}.",
            json=json,
        )


def _signal_all(
    name: str, payload: str, param: list[str] | None, key: str, server: str, *, json: bool
) -> None:
    if payload and param:
        raise typer.BadParameter("give the payload as JSON or by -p")
    given = json_or_text(payload or "null")
    if param:
        texts = options.split_named(param, "-p")
        given = {each: json_or_text(text) for each, text in texts.items()}
    with options.client(server=server) as client:
        found = client.signal_all(name, given, key=key)
    if json:
        output.print_json(found)
        return
    was = "Sent" if found.created else "An earlier call with this key has sent"
    kept = found.runs - found.waiting
    later = f"; {counted(kept, 'run keeps', 'runs keep')} it for a gate" if kept else ""
    output.say(f"{was} signal {name} to {counted(found.runs, 'run')}{later}.")
    for each in found.left_out:
        output.say(f"Left out: {counted(each.runs, 'run')} of {each.workflow}: {each.reason}")


def approve(
    run: options.RunId,
    path: options.GatePath = "",
    param: options.Fields = None,
    comment: options.Comment = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Approve a pending approval gate. KAON_ROLES lists your roles, separated by commas.

    \b
    kaon approve 01JD3Z...                          # the only pending approval
    kaon approve 01JD3Z... release --comment "looks good"
    kaon approve 01JD3Z... release -p share=0.2     # its fields; asks for what is missing
    """
    _answer(run, path, comment, server, approved=True, json=json, param=param)


def reject(
    run: options.RunId,
    path: options.GatePath = "",
    comment: options.Comment = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Reject a pending approval gate.

    \b
    kaon reject 01JD3Z... release --comment "rmse is worse than last week's"
    """
    _answer(run, path, comment, server, approved=False, json=json)


def retry(
    run: options.RunId,
    path: options.SomePath = "",
    reason: options.Reason = "",
    file: options.NewCode = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Retry the failed steps of a run, also in its sub-workflows. Succeeded steps are kept.

    With --file the code of the file runs: in a new run that keeps what came before the failed steps.

    \b
    kaon retry 01JD3Z...
    kaon retry 01JD3Z... 'regions[US]'              # only the failed steps of this cell
    kaon retry 01JD3Z... --file workflow.py         # with the code that you have mended
    """
    if file is not None and (path or reason):
        raise typer.BadParameter(
            "--file takes no PATH and no --reason: it retries all that failed, in a new run"
        )
    with options.client(server=server) as client:
        if file is not None:
            new_code.go_on(client, run, file, failed=True, json=json)
            return
        # Only people are told how many steps run again.
        before = () if json else client.run(run).steps
        found = client.retry(run, path, reason)
        after = () if json else client.run(run).steps
    again = _again(before, after)
    where = f" of {path}" if path else ""
    _tell(found, f"Retrying the failed steps{where}{again} with {named(found)}.", json=json)


def restart(
    run: options.RunId,
    path: options.ThePath,
    reason: options.Reason = "",
    file: options.NewCode = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Restart a block or step and all nodes downstream of it. Nodes upstream are kept; a sub-workflow gets a new run.

    With --file the code of the file runs: in a new run that keeps the nodes upstream.

    \b
    kaon restart 01JD3Z... train
    kaon restart 01JD3Z... train --file workflow.py
    """
    if file is not None and reason:
        raise typer.BadParameter("--file takes no --reason: the new run has a history of its own")
    with options.client(server=server) as client:
        if file is not None:
            new_code.go_on(client, run, file, reset=[path], json=json)
            return
        found = client.restart(run, path, reason)
    _tell(
        found,
        f"Restarting {path} and the nodes downstream of it with {named(found)}.",
        json=json,
    )


def _counted(
    steps: Iterable[run_pb2.StepView], status: run_pb2.Status.ValueType, doing: str
) -> str:
    """Describe how many steps have a status; empty for none."""
    count = sum(step.status == status for step in steps)
    return f"; {counted(count, 'step is', 'steps are')} {doing}" if count else ""


def _again(before: Iterable[run_pb2.StepView], after: Iterable[run_pb2.StepView]) -> str:
    """Describe which steps run again and how many are kept."""
    kept = {step.path for step in before if step.status == run_pb2.STATUS_SUCCEEDED}
    broken = [step.path for step in before if step.status in _ENDED_BADLY]
    now = {step.path: step.status for step in after}
    again = [path for path in broken if now.get(path) not in _ENDED_BADLY]
    if not again:
        return ""
    return f" ({enumerated(again, _NAMED)}); {counted(len(kept), 'that succeeded is', 'that succeeded are')} kept"


def mark(
    run: options.RunId,
    path: options.ThePath,
    status: Annotated[
        str, typer.Argument(metavar="STATUS", help="New status: succeeded, failed or skipped.")
    ],
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="TEXT", help="Reason, recorded in the history.", show_default=False
        ),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--output", metavar="NAME=JSON", help="An output, for succeeded; repeat for more."
        ),
    ] = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Set the status of a step or block by hand. The history records the principal and the reason.

    \b
    kaon mark 01JD3Z... load succeeded -o rows=12 --reason "loaded by hand"
    kaon mark 01JD3Z... report skipped --reason "not needed today"
    """
    if status.lower() not in _MARKS:
        raise typer.BadParameter(f"STATUS {status!r} is unknown; use one of {', '.join(_MARKS)}")
    outputs = {name: json_or_text(text) for name, text in options.split_named(given, "-o").items()}
    with options.client(server=server) as client:
        found = client.mark(run, path, _MARKS[status.lower()], outputs=outputs, reason=reason)
    _tell(found, f"Marked {path} {status.upper()}.", json=json)


def priority(
    run: options.RunId,
    value: Annotated[
        int,
        typer.Argument(
            metavar="NUMBER",
            help="New priority; higher is scheduled first, 0 is the default.",
            show_default=False,
        ),
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Set the priority of a run. It is added to the priority of each of its steps.

    \b
    kaon priority 01JD3Z... 10
    kaon priority 01JD3Z... -- -5
    """
    with options.client(server=server) as client:
        _tell(client.set_priority(run, value), f"Set the priority to {value}.", json=json)


def _answer(
    run: str,
    path: str,
    comment: str,
    server: str,
    *,
    approved: bool,
    json: bool,
    param: list[str] | None = None,
) -> None:
    with options.client(server=server) as client:
        gate = _approval(client, run, path)
        path = path or gate.path
        values = gate_form.filled(gate.fields, param) if approved else None
        found = client.answer(run, path, approved=approved, comment=comment, values=values)
    _tell(found, f"{'Approved' if approved else 'Rejected'} {path}.", json=json)


def _approval(client: Client, run: str, path: str) -> run_pb2.BlockView:
    """Return the pending approval of the run that a path means; empty means the only one.

    What the path means is decided by the coordinator; here it is looked up for the fields.

    Raises:
        KaonError: the run has no pending approval, or several.
    """
    blocks = client.run(run).blocks
    waiting = [
        block
        for block in blocks
        if block.status == run_pb2.STATUS_WAITING and block.gate == "approval"
    ]
    if path:
        meant = [each for each in waiting if names(each.path, path)]
        return meant[0] if len(meant) == 1 else run_pb2.BlockView(path=path)
    if not waiting:
        raise NotFound(f"run {run} has no pending approval")
    if len(waiting) > 1:
        raise KaonError(
            f"run {run} has {len(waiting)} pending approvals; give the PATH of one: {', '.join(each.path for each in waiting)}"
        )
    return waiting[0]


def _tell(run: run_pb2.Run, what: str, *, json: bool) -> None:
    """Print the result of a command; exit with `UNANSWERED` when the owner has not applied it in time."""
    if json:
        output.print_json(run)
    elif not run.commands_waiting:
        output.say(
            f"{what}{' ' if what else ''}Run {run.run_id} is {formatting.status(run.status)}."
        )
    else:
        output.say(
            f"The command is stored, but the coordinator that owns run {run.run_id} has not applied it yet. The run is "
            f"{formatting.status(run.status)}. The command stays valid: `kaon show {run.run_id}` counts the pending commands, "
            "and `kaon doctor` checks the coordinators."
        )
    if run.commands_waiting:
        raise typer.Exit(UNANSWERED)
