"""Commands that show, promote and watch published models."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import formatting, options, output
from kaonapi.model.v1 import model_pb2

app = typer.Typer(help="Show, promote and watch published models.", no_args_is_help=True)

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name of the model.", show_default=False)
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Reason, sent with the announcement.")
]
SomeModel = Annotated[
    str,
    typer.Argument(
        metavar="[MODEL]", help="Name of a model; default: all models.", show_default=False
    ),
]


@app.command("list")
def list_models(
    model: SomeModel = "",
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """List the newest version of every model, or all versions of one, and which one is current.

    \b
    kaon models list
    kaon models list recommender
    """
    with options.client(publisher=server, probes=False) as client:
        listing = client.models.listing(model)
    versions = listing.versions
    if json:
        for version in versions:
            current = listing.current.get(version.model, 0)
            output.print_json({**output.as_dict(version), "current_version": current})
        return
    output.print_table(
        (
            "MODEL",
            "VERSION",
            "CURRENT",
            "STAGE",
            "CHECKED",
            "RUN",
            f"PUBLISHED ({formatting.zone()})",
            "IMAGE",
        ),
        (
            (
                version.model,
                str(version.version),
                _current(version, listing.current.get(version.model, 0)),
                model_pb2.Stage.Name(version.stage).removeprefix("STAGE_"),
                _checked(version),
                version.lineage.run_id,
                formatting.moment_in_column(version.create_time),
                version.image_digest[:19],
            )
            for version in versions
        ),
        nothing="No model is published yet.",
    )


def _current(version: model_pb2.ModelVersion, current: int) -> str:
    """Describe whether a version is the current one of its model, and which one is when it is not."""
    if not current:
        return "none"
    return "yes" if current == version.version else f"no: {current}"


@app.command()
def show(
    model: Model,
    version: Annotated[
        int,
        typer.Option(
            "--version", metavar="VERSION", min=0, help="Version to show; 0 is the newest."
        ),
    ] = 0,
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Show one model version: image, metrics, lineage and the consumers that picked it up.

    \b
    kaon models show recommender
    kaon models show recommender --version 3 --json
    """
    with options.client(publisher=server, probes=False) as client:
        found = client.models.get(model, version)
    if json:
        output.print_json(found)
        return
    out = output.console()
    for name, value in _facts(found):
        out.print(f"{name:<10} {value}", markup=False, soft_wrap=True)
    for pickup in found.pickups:
        out.print(
            f"{'picked up':<10} by {pickup.consumer}, {formatting.moment(pickup.time)}",
            markup=False,
        )


@app.command()
def promote(
    model: Model,
    version: Annotated[
        int,
        typer.Argument(metavar="VERSION", min=1, help="Version to promote.", show_default=False),
    ],
    reason: Reason = "",
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Make a version the current one. Systems that serve the model switch to it.

    \b
    kaon models promote recommender 3 --reason "passed the A/B test"
    """
    with options.client(publisher=server, probes=False) as client:
        announcement = client.models.promote(model, version, reason)
    _print_change(announcement, as_json=json)


@app.command()
def rollback(
    model: Model,
    leaving: Annotated[
        int,
        typer.Option(
            "--from",
            metavar="VERSION",
            min=0,
            help="Version to roll back from; 0 is the current one.",
        ),
    ] = 0,
    reason: Reason = "",
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Roll back to the version that was current before. A second rollback goes one version further.

    \b
    kaon models rollback recommender --reason "complaints from region 8"
    """
    with options.client(publisher=server, probes=False) as client:
        announcement = client.models.rollback(model, leaving, reason)
    _print_change(announcement, as_json=json)


@app.command()
def diff(
    model: Model,
    one: Annotated[
        int, typer.Argument(metavar="VERSION", min=1, help="First version.", show_default=False)
    ],
    other: Annotated[
        int, typer.Argument(metavar="[OTHER]", min=0, help="Second version; 0 is the newest.")
    ] = 0,
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Compare two versions: metrics with their change, data, workflow and image.

    \b
    kaon models diff recommender 2 3
    """
    with options.client(publisher=server, probes=False) as client:
        pair = (client.models.get(model, one).version, client.models.get(model, other).version)
    rows = differences(*pair)
    if json:
        for what, here, there, change in rows:
            output.print_json({"what": what, "one": here, "other": there, "change": change})
        return
    titles = ("WHAT", *(f"VERSION {version.version}" for version in pair), "CHANGE")
    output.print_table(titles, rows, nothing="The versions do not differ.")


def differences(
    one: model_pb2.ModelVersion, other: model_pb2.ModelVersion
) -> list[tuple[str, str, str, str]]:
    """Return the differences of two versions: name, first value, second value and change."""
    rows = []
    for name in sorted({*one.metrics, *other.metrics}):
        here, there = one.metrics.get(name), other.metrics.get(name)
        if here != there:
            change = f"{there - here:+.6g}" if here is not None and there is not None else ""
            rows.append((name, _number(here), _number(there), change))
    texts = (
        ("image", one.image_digest, other.image_digest),
        ("artifact", one.artifact_digest, other.artifact_digest),
        ("checked", _checked(one), _checked(other)),
        ("workflow", _workflow(one), _workflow(other)),
        ("run", one.lineage.run_id, other.lineage.run_id),
        ("data", ", ".join(one.lineage.data_digests), ", ".join(other.lineage.data_digests)),
    )
    return [*rows, *((what, here, there, "") for what, here, there in texts if here != there)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _workflow(version: model_pb2.ModelVersion) -> str:
    return f"{version.lineage.workflow} {version.lineage.workflow_version}".strip()


def _print_change(announcement: model_pb2.Announcement, *, as_json: bool) -> None:
    if as_json:
        output.print_json(announcement)
        return
    version = announcement.version
    before = f" instead of version {announcement.replaces}" if announcement.replaces else ""
    output.console().print(
        f"{version.model} version {version.version} is current{before} (announcement {announcement.cursor})",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def watch(
    model: SomeModel = "",
    consumer: Annotated[
        str, typer.Option("--consumer", metavar="NAME", help="Stable name of the consumer.")
    ] = "kaon-cli",
    after: Annotated[
        int,
        typer.Option(
            "--after",
            metavar="CURSOR",
            min=0,
            help="Show announcements after this cursor; 0 means all.",
        ),
    ] = 0,
    server: options.Publisher = options.PUBLISHER,
    json: options.AsJson = False,
) -> None:
    """Print announcements as they arrive, until interrupted. It acknowledges none of them.

    \b
    kaon models watch
    kaon models watch recommender --after 12 --json
    """
    with options.client(publisher=server, probes=False) as client:
        for announcement in client.models.watch(consumer, model, after):
            if json:
                output.print_json(announcement)
            else:
                _print(announcement)


def _print(announcement: model_pb2.Announcement) -> None:
    version = announcement.version
    output.console().print(
        f"{announcement.cursor}  {formatting.moment(announcement.announce_time)}  {version.model} version {version.version}  "
        f"{version.image_reference}",
        markup=False,
        soft_wrap=True,
    )


def _facts(found: model_pb2.GetModelResponse) -> list[tuple[str, str]]:
    version = found.version
    lineage = version.lineage
    metrics = "  ".join(f"{name}={value:.6g}" for name, value in sorted(version.metrics.items()))
    return [
        ("model", f"{version.model} version {version.version}"),
        (
            "current",
            "yes" if found.current == version.version else f"no, version {found.current} is",
        ),
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
        ("published", formatting.moment(version.create_time)),
    ]


def _checked(version: model_pb2.ModelVersion) -> str:
    name = model_pb2.Verification.Name(version.verification)
    return name.removeprefix("VERIFICATION_").lower().replace("_", " ")
