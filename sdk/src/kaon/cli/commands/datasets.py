"""Commands about datasets: names that steps update and schedules wait for."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from kaon.cli import formatting, options, output, values
from kaon_wire.texts import counted
from kaonapi.dataset.v1 import dataset_pb2

app = typer.Typer(
    help="Look at datasets: which steps update them, and which runs that starts.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the dataset.", show_default=False)
]


@app.command("list")
def list_datasets(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List all datasets, with their newest updates.

    \b
    kaon datasets list
    """
    with options.client(server=server) as client:
        found = client.datasets.list()
    if json:
        for dataset in found:
            output.print_json(dataset)
        return
    output.print_table(
        ("DATASET", "UPDATES", f"NEWEST ({formatting.zone()})", "PARTITION", "BY"),
        (
            (
                each.name,
                str(each.updates),
                formatting.moment_in_column(each.newest.time),
                each.newest.partition,
                _by(each.newest),
            )
            for each in found
        ),
        nothing='No datasets found. A step makes one: produces=[dataset("ratings")]',
    )


@app.command()
def show(name: Name, server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """Show one dataset: the steps that update it, and the schedules that wait for it.

    \b
    kaon datasets show ratings
    """
    with options.client(server=server) as client:
        found = client.datasets.get(name)
    if json:
        output.print_json(found)
        return
    out = output.console()
    out.print(f"[bold]{found.name}[/]  {counted(found.updates, 'update')}")
    for each in found.producers:
        when = formatting.moment(each.time)
        out.print(f"  updated by {each.workflow} {each.path}, last {when}", markup=False)
    for consumer in found.consumers:
        out.print(f"  starts {consumer.workflow} (schedule {consumer.schedule})", markup=False)
    if found.HasField("newest"):
        out.print(f"newest {_line(found.newest)}", markup=False)


@app.command()
def events(
    name: Name,
    partition: Annotated[
        str | None,
        typer.Option(
            "--partition",
            metavar="NAME",
            help="Only updates of this partition.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="Most updates to show.")
    ] = 50,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List the updates of a dataset, newest first, with the runs that they started.

    \b
    kaon datasets events ratings
    kaon datasets events ratings --partition 2026-11-24
    """
    with options.client(server=server) as client:
        found = list(islice(client.datasets.updates(name, partition), limit))
    if json:
        for update in found:
            output.print_json(update)
        return
    output.print_table(
        (f"TIME ({formatting.zone()})", "PARTITION", "BY", "OUTPUTS", "STARTED"),
        (
            (
                formatting.moment_in_column(each.time),
                each.partition,
                _by(each),
                _outputs(each),
                " ".join(each.started_run_ids),
            )
            for each in found
        ),
        nothing="No updates found.",
    )


@app.command()
def record(
    name: Name,
    partition: Annotated[
        str,
        typer.Option(
            "--partition",
            metavar="NAME",
            help="Which part was updated; default: the whole.",
            show_default=False,
        ),
    ] = "",
    outputs: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--param",
            metavar="NAME=JSON",
            help="An output that schedules see in event.outputs; repeat for more. Text needs no quotes.",
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KEY",
            help="Idempotency key: a second call with the same key makes no second update.",
        ),
    ] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Tell of an update that no step has made. Schedules that wait for the dataset start runs.

    \b
    kaon datasets record ratings --partition 2026-11-24 -p rows=1200
    """
    given = {
        each: values.json_or_text(text) for each, text in options.split_params(outputs).items()
    }
    with options.client(server=server) as client:
        found = client.datasets.record(name, partition, given, key)
    if json:
        output.print_json(found)
        return
    what = "Recorded" if found.created else "Key already used by"
    output.say(f"{what} update {found.update.update_id} of dataset {name}.")


def _by(update: dataset_pb2.DatasetUpdate) -> str:
    return f"{update.run_id} {update.path}" if update.run_id else update.by


def _outputs(update: dataset_pb2.DatasetUpdate) -> str:
    return " ".join(
        f"{name}={values.brief(text)}" for name, text in sorted(update.outputs_json.items())
    )


def _line(update: dataset_pb2.DatasetUpdate) -> str:
    told = (formatting.moment(update.time), update.partition, f"by {_by(update)}", _outputs(update))
    return "  ".join(each for each in told if each)
