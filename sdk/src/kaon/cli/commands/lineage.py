"""The command that follows artifacts and models through runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from kaon.cli import options, output
from kaon.client import Client, NotFound
from kaon.client.lineage import Link, links, published
from kaon.client.models import Models
from kaon.client.retrying import Patience
from kaon_wire.errors import Unavailable
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import run_pb2

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{8,64}")
_RUNS = 50
_SHORT = Patience(total=0.5)


def lineage(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DIGEST|MODEL",
            help="Digest of an artifact, or its beginning; or a model, or MODEL@VERSION.",
            show_default=False,
        ),
    ],
    workflow: Annotated[
        str, typer.Option("--workflow", metavar="NAME", help="Look only at runs of this workflow.")
    ] = "",
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", metavar="N", min=1, help="Look at this many runs, newest first."
        ),
    ] = _RUNS,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Follow an artifact or a model both ways: which run and step made it, and which steps and models used it.

    \b
    kaon lineage recommender                        # the newest version of a model
    kaon lineage recommender@3
    kaon lineage sha256:9f86d081 --workflow recommendations --limit 500
    """
    if target.startswith("sha256:") and not _DIGEST.fullmatch(target):
        raise typer.BadParameter(f"{target!r}: write a digest with 8 to 64 hexadecimal digits")
    with options.client(server=server) as client:
        if _DIGEST.fullmatch(target):
            digest = target if target.startswith("sha256:") else f"sha256:{target}"
            runs = client.runs(workflow, limit=limit)
            found = _of_digests(client, runs, [digest])
        else:
            version = _version(client, target)
            if not json:
                _tell_model(version)
            digests = [version.artifact_digest, *version.lineage.data_digests]
            runs = client.runs(workflow, limit=limit)
            if version.lineage.run_id not in {run.run_id for run in runs}:
                # It may have been deleted since.
                with suppress(NotFound):
                    runs.insert(0, client.summary(version.lineage.run_id))
            found = _of_digests(client, runs, digests)
    if not found and not json:
        raise NotFound(
            f"no model and no run of the newest {limit} has an artifact {target}: see --limit and --workflow"
        )
    if json:
        for each in found:
            output.print_json(asdict(each))
        return
    output.print_table(
        ("RUN", "WORKFLOW", "VERSION", "HOW", "STEP", "NAME"),
        (
            (each.run_id, each.workflow, each.version[:19], each.how, each.step, each.name)
            for each in found
        ),
        nothing="",
    )


def _of_digests(client: Client, runs: Iterable[run_pb2.Run], digests: list[str]) -> list[Link]:
    found = [link for run in runs for link in links(client, run, digests)]
    # Where no publisher is, nothing was published.
    with suppress(Unavailable):
        models = Models(client.endpoints, patience=_SHORT, watch_patience=_SHORT)
        versions = [each for model in models.list() for each in models.list(model.model)]
        found += [link for _, link in published(versions, digests)]
    return found


def _version(client: Client, target: str) -> model_pb2.ModelVersion:
    model, at, number = target.partition("@")
    if at and not number.isdecimal():
        raise typer.BadParameter(f"{target!r}: write MODEL@VERSION, such as recommender@3")
    return client.models.get(model, int(number or 0)).version


def _tell_model(version: model_pb2.ModelVersion) -> None:
    output.say(
        f"{version.model} version {version.version}: made of {version.artifact_digest[:19]} by step {version.lineage.step} "
        f"of run {version.lineage.run_id}"
    )
    for digest in version.lineage.data_digests:
        output.say(f"  trained on {digest[:19]}")
