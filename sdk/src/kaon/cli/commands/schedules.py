"""Commands that manage schedules and submit backfills."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from kaon.cli import formatting, options, output, registered, schedule_file
from kaon.cli.log_selection import moment_us
from kaon.client import params as parameters
from kaon_wire.texts import counted
from kaonapi.schedule.v1 import schedule_pb2

app = typer.Typer(
    help="Manage schedules, which submit runs at times or on events.", no_args_is_help=True
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False)
]


@app.command()
def put(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="TOML or JSON file with the schedule.", show_default=False
        ),
    ],
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Create a schedule, or replace the one with its name.

    \b
    kaon schedule put nightly.toml

    \b
    # nightly.toml
    name = "nightly"
    workflow = "recommendations"
    cron = "0 3 * * *"           # or "@daily", \\["0 3 * * 1-5", "@monthly"]; every = "6h",
    time_zone = "Europe/Berlin"  # run_finished = "other-workflow", record_arrived = "topic",
    jitter = "10m"               # model_published = "model", dataset = "name"; several: \\[\\[any]], all = \\[...]
    filter = "date != '2026-12-25'"  # CEL: false gives no run
    overlap = "skip"             # allow, skip, buffer, cancel_other
    catch_up = "latest"          # none, latest, all
    \\[params]
    min_ratings = 30
    \\[params_cel]                 # over time, date and event
    day = "date"
    """
    schedule = schedule_file.read(file)
    with options.client(server=server) as client:
        found = client.schedules.put(schedule)
    if json:
        output.print_json(found)
        return
    what = "Created" if found.created else "Replaced"
    output.say(
        f"{what} schedule {found.schedule.name}: {_when(found.schedule)}.{_next(found.schedule)}"
    )


@app.command()
def run(
    name: Name,
    time: Annotated[
        str,
        typer.Option(
            "--time",
            metavar="TIME",
            help="Time that the run stands for, 2026-12-01T03:00 or 2h (ago); default: now.",
        ),
    ] = "",
    key: options.Key = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Submit one run of a schedule at once, beside its times and whether or not it is paused.

    \b
    kaon schedule run nightly
    kaon schedule run nightly --time 2026-12-01T03:00Z
    """
    moment = datetime.fromtimestamp(moment_us(time, "--time") / 1e6, UTC) if time else None
    with options.client(server=server) as client:
        found = client.schedules.run(name, moment, key)
    if json:
        output.print_json(found)
        return
    what = "Submitted run" if found.created else "Key already used by run"
    output.say(
        f"{what} {found.run.run_id} of {found.run.workflow} (version {found.run.version[:19]})."
    )


@app.command("list")
def list_schedules(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List all schedules, with their next times and last runs.

    \b
    kaon schedule list
    """
    with options.client(server=server) as client:
        found = client.schedules.list()
    if json:
        for schedule in found:
            output.print_json(schedule)
        return
    output.print_table(
        ("SCHEDULE", "WORKFLOW", "WHEN", f"NEXT ({formatting.zone()})", "LAST RUN", "NOTE"),
        (
            (
                each.name,
                each.workflow,
                _when(each),
                formatting.moment_in_column(each.next_time),
                each.last_run_id,
                "paused" if each.paused else each.last_error,
            )
            for each in found
        ),
        nothing="No schedules found. Create one: kaon schedule put FILE",
    )


@app.command()
def show(name: Name, server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """Show one schedule: parameters, next time, last run and last error.

    \b
    kaon schedule show nightly
    """
    with options.client(server=server) as client:
        found = client.schedules.get(name)
    if json:
        output.print_json(found)
        return
    out = output.console()
    out.print(
        f"[bold]{found.name}[/]  {found.workflow}  {_when(found)}{'  paused' if found.paused else ''}"
    )
    for key, text in sorted(found.params_json.items()):
        out.print(f"  {key} = {text}", markup=False)
    for key, cel in sorted(found.params_cel.items()):
        out.print(f"  {key} = {cel}  (CEL)", markup=False)
    told = (
        ("filter", found.filter_cel),
        ("next", formatting.moment(found.next_time)),
        ("last", formatting.moment(found.last_time)),
        ("last run", found.last_run_id),
        ("last error", found.last_error),
    )
    for key, text in told:
        if text:
            out.print(f"{key} {text}", markup=False)


@app.command()
def delete(name: Name, server: options.Server = options.SERVER) -> None:
    """Delete a schedule. Its runs are kept.

    \b
    kaon schedule delete nightly
    """
    with options.client(server=server) as client:
        client.schedules.delete(name)
    output.say(f"Deleted schedule {name}. Its runs are kept.")


@app.command()
def pause(
    name: Name, server: options.Server = options.SERVER, json: options.AsJson = False
) -> None:
    """Pause a schedule: it submits no runs until it is resumed.

    \b
    kaon schedule pause nightly
    """
    _set_paused(name, server, paused=True, json=json)


@app.command()
def resume(
    name: Name, server: options.Server = options.SERVER, json: options.AsJson = False
) -> None:
    """Resume a paused schedule. Its catch_up policy decides about the times that it missed.

    \b
    kaon schedule resume nightly
    """
    _set_paused(name, server, paused=False, json=json)


def backfill(
    workflow: Annotated[
        str, typer.Argument(metavar="WORKFLOW", help="Name of the workflow.", show_default=False)
    ],
    parameter: Annotated[
        str,
        typer.Argument(
            metavar="PARAMETER", help="Parameter that gets the date.", show_default=False
        ),
    ],
    first: Annotated[
        str,
        typer.Argument(metavar="FIRST", help="First date, such as 2026-01-01.", show_default=False),
    ],
    last: Annotated[
        str, typer.Argument(metavar="LAST", help="Last date, inclusive.", show_default=False)
    ],
    *,
    param: options.Params = None,
    every: Annotated[
        int, typer.Option("--every", metavar="N", min=1, help="Days from one date to the next.")
    ] = 1,
    at_once: Annotated[
        int,
        typer.Option(
            "--at-once",
            metavar="N",
            min=0,
            help="Most of these runs that are active concurrently; 0 means no limit.",
        ),
    ] = 0,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the backfill: a date is submitted once per name. Default: the workflow's name.",
        ),
    ] = "",
    version: Annotated[
        str,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Workflow version, sha256:...; default: the current one.",
        ),
    ] = "",
    priority: options.Priority = 0,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Submit the newest date first.")
    ] = False,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Submit one run of WORKFLOW for each date of a range. Dates that have a run are left out.

    \b
    kaon backfill sales day 2026-01-01 2026-01-31
    kaon backfill sales day 2026-01-01 2026-12-31 --every 7 --at-once 4 -p region=EU
    """
    texts = options.split_params(param)
    with options.client(server=server) as client:
        definition = registered.named(client, workflow, version).definition
        found = client.schedules.backfill(
            workflow,
            parameter,
            first,
            last,
            version=version,
            every_days=every,
            params=parameters.parse(definition, texts),
            max_active=at_once,
            name=name,
            priority=priority,
            newest_first=newest_first,
        )
    if json:
        output.print_json(found)
        return
    there = len(found.runs) - found.created
    output.say(
        f"Submitted {counted(found.created, 'run')} of {workflow}{f'; {there} existed before' if there else ''}."
    )


def _set_paused(name: str, server: str, *, paused: bool, json: bool) -> None:
    with options.client(server=server) as client:
        found = client.schedules.set_paused(name, paused=paused)
    if json:
        output.print_json(found)
    else:
        what = "is paused" if paused else f"is resumed.{_next(found)}"
        output.say(f"Schedule {name} {what}".rstrip(".") + ".")


def _next(schedule: schedule_pb2.Schedule) -> str:
    return (
        f" Next: {formatting.moment(schedule.next_time)}." if schedule.HasField("next_time") else ""
    )


def _jitter(schedule: schedule_pb2.Schedule | schedule_pb2.Trigger) -> str:
    if not schedule.jitter_ms:
        return ""
    return f" with jitter {formatting.duration(schedule.jitter_ms / 1000)}"


def _joins(trigger: schedule_pb2.Trigger) -> str:
    return f" by {trigger.join_cel}" if trigger.join_cel else ""


def _when(schedule: schedule_pb2.Schedule | schedule_pb2.Trigger) -> str:
    match schedule.WhichOneof("when"):
        case "triggers":
            alternatives = (
                " and ".join(f"{_when(one)}{_joins(one)}" for one in each.all)
                for each in schedule.triggers.any  # type: ignore[union-attr]
            )
            return " or ".join(alternatives)
        case "cron":
            crons = ", ".join([schedule.cron.expression, *schedule.cron.more_expressions])
            return f"{crons} {schedule.cron.time_zone or 'UTC'}{_jitter(schedule)}"
        case "interval":
            every = formatting.duration(schedule.interval.every_ms / 1000)
            return f"every {every}{_jitter(schedule)}"
        case "run_finished":
            return f"after a run of {schedule.run_finished.workflow}"
        case "record_arrived":
            return f"on a record of {schedule.record_arrived.topic}"
        case "dataset_updated":
            return f"on an update of dataset {schedule.dataset_updated.dataset}"
    return f"on model {schedule.model_published.model or 'of any name'}"
