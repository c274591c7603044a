"""Commands that show one run: its state now or at an event, and its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import typer
from google.protobuf import timestamp_pb2
from rich.text import Text

from kaon.cli import bound, formatting, options, output, places
from kaon.cli.live.lines import describe
from kaon.cli.values import brief, status_text, took
from kaon_wire import canonical
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2, run_service_pb2

NOT_THE_SAME = 1


def show(
    run: options.RunId,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[STEP]",
            help="Path or name of a step, block or cell: all of it, errors with tracebacks.",
        ),
    ] = "",
    at: options.Seq = 0,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Show one run: parameters, blocks, steps, pending approvals and errors; or one step of it, in full.

    \b
    kaon show 01JD3Z...
    kaon show 01JD3Z... train                       # outputs, metrics, errors with tracebacks
    kaon show 01JD3Z... --at 120                    # the state after this event of the history
    kaon show 01JD3Z... --json
    """
    found: run_service_pb2.GetRunResponse | run_service_pb2.GetRunAtResponse
    with options.reached(server=server, state=state) as client:
        found = client.run_at(run, at) if at else client.run(run, cells=True)
    if path:
        places.show(found, path, json=json)
        return
    if json:
        output.print_json(found)
        return
    _print_run(found.run)
    if isinstance(found, run_service_pb2.GetRunAtResponse):
        output.say(f"State after event {at}: {found.state_hash[:19]}")
    if found.blocks:
        output.print_table(
            ("BLOCK", "STATUS", "DETAILS"),
            (
                (block.path, status_text(block.status), block_details(block))
                for block in found.blocks
            ),
            nothing="",
        )
    items = {cell.path: cell.item_json for cell in _cells(found) if cell.item_json[:1] == "{"}
    output.print_table(
        ("STEP", "STATUS", "ATTEMPT", "RUNNER", "TOOK", "DETAILS"),
        (
            (
                step.path,
                status_text(step.status),
                str(step.attempt),
                step.runner_id,
                took(step),
                _item(step.path, items) + _details(step),
            )
            for step in found.steps
        ),
        nothing="No step has run."
        if found.run.HasField("end_time")
        else "No step has started yet.",
    )
    if not at:
        _print_waiting(found, server)


def history(
    run: options.RunId,
    after: options.After = 0,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Print the events of a run, oldest first. `show --at` and `fork --at` take their numbers.

    \b
    kaon history 01JD3Z...
    kaon history 01JD3Z... --after 120 --json | jq -c .step_ended
    """
    out = output.console()
    with options.reached(server=server, state=state) as client:
        for event in client.history(run, after):
            if json:
                output.print_json(event)
                continue
            text = describe(event) or "unknown event: this version of kaon is too old to show it"
            out.print(
                Text.assemble(
                    (f"{event.seq:>6}  {formatting.clock(event.time_us)}  ", "dim"), text
                ),
                soft_wrap=True,
            )


def verify(
    run: options.RunId, server: options.Server = options.SERVER, json: options.AsJson = False
) -> None:
    """Replay the history of a run on the server and compare the result with the stored state. Exit codes: 0 equal, 1 different.

    \b
    kaon verify 01JD3Z...
    """
    with options.client(server=server) as client:
        found = client.verify(run)
    if json:
        output.print_json(found)
    elif found.matches:
        output.say(
            f"Replay of {counted(found.seq, 'event')} of run {run} gives the stored state {found.stored_hash[:19]}."
        )
    elif found.wrong_snapshots:
        wrong = ", ".join(map(str, found.wrong_snapshots))
        output.say(f"Snapshots of run {run} differ from its history after these events: {wrong}.")
    else:
        output.say(
            f"Replay of {counted(found.seq, 'event')} of run {run} gives state {found.replayed_hash[:19]}, but the stored state is "
            f"{found.stored_hash[:19]}."
        )
    raise typer.Exit(0 if found.matches else NOT_THE_SAME)


def _print_run(run: run_pb2.Run) -> None:
    out = output.console()
    late = "  late" if run.late else ""
    out.print(
        Text.assemble(
            (run.workflow, "bold"),
            f"  {run.run_id}  ",
            status_text(run.status),
            (late, "yellow"),
            f"  {took(run)}",
        )
    )
    origin = f" from {run.origin}" if run.origin else ""
    out.print(
        f"version {run.version[:19]}  submitted {formatting.moment(run.create_time)} "
        f"by {run.submitter or 'default'}{origin}",
        markup=False,
    )
    if run.HasField("scheduled_time"):
        out.print(f"scheduled for {formatting.moment(run.scheduled_time)}")
    if run.HasField("previous_success"):
        out.print(f"previous success: run {_previous(run.previous_success)}", markup=False)
    if run.labels:
        named = "  ".join(f"{name}={value}" for name, value in sorted(run.labels.items()))
        out.print(f"labels {named}", markup=False)
    if run.priority:
        out.print(f"priority {run.priority}")
    if run.commands_waiting:
        out.print(f"pending commands: {run.commands_waiting}", style="yellow")
    if run.parent_run_id:
        out.print(f"child of run {run.parent_run_id}: {run.parent_path}", markup=False)
    if run.forked_from_run_id:
        out.print(f"forked from event {run.forked_from_seq} of run {run.forked_from_run_id}")
    if run.bound_json:
        out.print(bound.values("workflow", run.bound_json), markup=False)
    for name, text in sorted(run.params_json.items()):
        out.print(f"  {name} = {text}", markup=False)
    for name, text in sorted(run.outputs_json.items()):
        out.print(f"  output {name} = {brief(text)}", markup=False)
    if run.HasField("error"):
        out.print(Text(formatting.error(run.error), style="red"), soft_wrap=True)


def _previous(run: run_pb2.PreviousRun) -> str:
    text = f"{run.run_id}, ended {formatting.moment(_time(run.end_time_us))}"
    if run.scheduled_time_us:
        text += f", scheduled for {formatting.moment(_time(run.scheduled_time_us))}"
    return text


def _time(time_us: int) -> timestamp_pb2.Timestamp:
    time = timestamp_pb2.Timestamp()
    time.FromMicroseconds(time_us)
    return time


def _print_waiting(
    found: run_service_pb2.GetRunResponse | run_service_pb2.GetRunAtResponse, server: str
) -> None:
    """Print the commands that answer the pending gates of the run."""
    run = found.run
    option = f" --server {named}" if (named := options.unless_found(server)) else ""
    if run.status == run_pb2.STATUS_PAUSED:
        output.say(f"The run is paused (kaon resume {run.run_id}{option})")
    for block in found.blocks:
        if block.status == run_pb2.STATUS_WAITING and block.gate in ("approval", "signal"):
            command = f"signal {run.run_id} {block.signal}"
            if block.gate == "approval":
                command = f"approve {run.run_id} {block.path}"
            output.say(f"{block.path} waits for {_awaited(block)} (kaon {command}{option})")


def block_details(block: run_pb2.BlockView) -> str:
    """Describe the state of a block in one line."""
    parts = []
    if block.HasField("error") and block.error.message:
        parts.append(formatting.error(block.error))
    if block.status == run_pb2.STATUS_WAITING:
        parts.append(f"waits for {_awaited(block)}")
    if block.kind == "for_each":
        parts.append(
            counted(block.total, "cell")
            + "".join(f", {count} {name.lower()}" for name, count in sorted(block.cells.items()))
        )
    elif block.kind == "repeat":
        parts.append(f"iteration {block.started} of at most {block.total}")
    if block.bound_json:
        parts.append(bound.values(block.kind, block.bound_json))
    if block.child_run_id:
        parts.append(f"run {block.child_run_id}")
    if block.memo_run_id:
        parts.append(f"from run {block.memo_run_id}")
    if block.HasField("due_time"):
        parts.append(f"until {formatting.moment(block.due_time)}")
    parts += [f"{name}={brief(text)}" for name, text in sorted(block.outputs_json.items())]
    return "  ".join(parts) or block.kind.replace("_", "-")


def _cells(
    found: run_service_pb2.GetRunResponse | run_service_pb2.GetRunAtResponse,
) -> Iterable[run_pb2.CellView]:
    return found.cells if isinstance(found, run_service_pb2.GetRunResponse) else ()


def _item(path: str, items: Mapping[str, str]) -> str:
    """Describe the hyper-parameters of the innermost cell around a step."""
    while "/" in path:
        path = path.rsplit("/", 1)[0]
        if path in items:
            params = canonical.loads(items[path])
            return "".join(f"{name}={canonical.dumps(value)}  " for name, value in params.items())
    return ""


def _awaited(block: run_pb2.BlockView) -> str:
    if block.gate == "approval":
        who = f" by {' or '.join(block.roles)}" if block.roles else ""
        return f"approval{who}" + (f": {block.message}" if block.message else "")
    if block.gate == "run":
        return block.message
    where = f" where {block.where_cel}" if block.where_cel else ""
    return f"signal {block.signal}{where}" if block.gate == "signal" else "its time"


def _details(step: run_pb2.StepView) -> str:
    told = bound.values("step", step.bound_json)
    return "  ".join(filter(None, (told, _outcome(step))))


def _outcome(step: run_pb2.StepView) -> str:
    if step.HasField("error") and step.error.message:
        return formatting.error(step.error)
    if step.at_breakpoint:
        given = (f"{name}={brief(text)}" for name, text in sorted(step.inputs_json.items()))
        return "  ".join(("waits at a breakpoint", *given))
    if step.status == run_pb2.STATUS_SUCCEEDED:
        memo = f"from run {step.memo_run_id}  " if step.memo_run_id else ""
        return memo + "  ".join(
            f"{name}={brief(text)}" for name, text in sorted(step.outputs_json.items())
        )
    return step.progress_message
