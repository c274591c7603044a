"""Commands about published models."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output, words
from kaonapi.model.v1 import model_pb2

app = typer.Typer(help="Show and watch published models.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.", show_default=False)]
SomeModel = Annotated[
    str, typer.Argument(metavar="[MODEL]", help="One model; without it all.", show_default=False)
]


@app.command("list")
def list_models(
    model: SomeModel = "", server: options.Publisher = options.PUBLISHER, json: options.AsJson = False
) -> None:
    """List the newest version of every model, or all versions of one.

    \b
    kaon models list
    kaon models list recommender
    """
    with options.client(publisher=server) as client:
        versions = client.models.list(model)
    if json:
        for version in versions:
            output.print_json(version)
        return
    output.print_table(
        ("MODEL", "VERSION", "STAGE", "CHECKED", "RUN", "PUBLISHED", "IMAGE"),
        (
            (
                version.model,
                str(version.version),
                model_pb2.Stage.Name(version.stage).removeprefix("STAGE_"),
                _checked(version),
                version.lineage.run_id,
                words.moment(version.create_time),
                version.image_digest[:19],
            )
            for version in versions
        ),
        nothing="No model is published yet.",
    )


@app.command()
def show(
    model: Model,
    version: Annotated[int, typer.Option("--version", min=0, help="Which one; 0 is the newest.")] = 0,
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Show one version: its image, metrics, where it comes from, and who has picked it up.

    \b
    kaon models show recommender
    kaon models show recommender --version 3 --json
    """
    with options.client(publisher=server) as client:
        found = client.models.get(model, version)
    if json:
        output.print_json(found)
        return
    out = output.console()
    for name, value in _facts(found.version):
        out.print(f"{name:<10} {value}", markup=False, soft_wrap=True)
    for pickup in found.pickups:
        out.print(f"{'picked up':<10} by {pickup.consumer}, {words.moment(pickup.time)}", markup=False)


@app.command()
def watch(
    model: SomeModel = "",
    consumer: Annotated[
        str, typer.Option("--consumer", help="Stable name of the system that watches.")
    ] = "kaon-cli",
    after: Annotated[
        int, typer.Option("--after", min=0, help="Show announcements after this cursor; 0 means all.")
    ] = 0,
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Show announcements as they come, without end. It acknowledges nothing.

    \b
    kaon models watch
    kaon models watch recommender --after 12 --json
    """
    with options.client(publisher=server) as client:
        for announcement in client.models.watch(consumer, model, after):
            if json:
                output.print_json(announcement)
            else:
                _print(announcement)


def _print(announcement: model_pb2.Announcement) -> None:
    version = announcement.version
    output.console().print(
        f"{announcement.cursor}  {words.moment(announcement.announce_time)}  {version.model} version {version.version}  "
        f"{version.image_reference}",
        markup=False,
        soft_wrap=True,
    )


def _facts(version: model_pb2.ModelVersion) -> list[tuple[str, str]]:
    lineage = version.lineage
    metrics = "  ".join(f"{name}={value:.6g}" for name, value in sorted(version.metrics.items()))
    return [
        ("model", f"{version.model} version {version.version}"),
        ("stage", model_pb2.Stage.Name(version.stage).removeprefix("STAGE_")),
        ("image", version.image_reference),
        ("artifact", f"{version.artifact_digest} at {version.artifact_uri}"),
        ("checked", f"{_checked(version)}: {version.verification_details}"),
        ("metrics", metrics),
        (
            "made by",
            f"run {lineage.run_id}, step {lineage.step} of {lineage.workflow} {lineage.workflow_version[:19]}",
        ),
        ("data", ", ".join(lineage.data_digests)),
        ("published", words.moment(version.create_time)),
    ]


def _checked(version: model_pb2.ModelVersion) -> str:
    name = model_pb2.Verification.Name(version.verification)
    return name.removeprefix("VERIFICATION_").lower().replace("_", " ")
