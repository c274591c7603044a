"""Where a model or an artifact comes from, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kaon_wire import canonical
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import history_pb2, run_pb2

if TYPE_CHECKING:
    from kaon.client.client import Client


@dataclass(frozen=True, kw_only=True)
class Link:
    """One thing that an artifact came from, or that came of it."""

    # "made" by a step, "given" to a run as a parameter, "used" by a step, or "published" as a model.
    how: str
    run_id: str
    workflow: str
    version: str
    # Path of the step; empty for a parameter.
    step: str = ""
    # Name of the output, input or parameter; the model and its version.
    name: str = ""


def links(client: Client, run: run_pb2.Run, digests: Iterable[str]) -> Iterator[Link]:
    """Return what a run has to do with artifacts: by whole digests, or their beginnings."""
    wanted = tuple(digests)
    where = {"run_id": run.run_id, "workflow": run.workflow, "version": run.version}
    for name, text in sorted(run.params_json.items()):
        if _has(canonical.loads(text), wanted):
            yield Link(how="given", name=name, **where)
    for event in client.history(run.run_id):
        for how, step, name in _in_event(event, wanted):
            yield Link(how=how, step=step, name=name, **where)


def published(
    versions: Iterable[model_pb2.ModelVersion], digests: Iterable[str]
) -> Iterator[tuple[model_pb2.ModelVersion, Link]]:
    """Return the model versions that were made of artifacts."""
    wanted = tuple(digests)
    for version in versions:
        lineage = version.lineage
        if any(map(_matcher(wanted), (version.artifact_digest, *lineage.data_digests))):
            yield (
                version,
                Link(
                    how="published",
                    run_id=lineage.run_id,
                    workflow=lineage.workflow,
                    version=lineage.workflow_version,
                    step=lineage.step,
                    name=f"{version.model} {version.version}",
                ),
            )


def _in_event(
    event: history_pb2.HistoryEvent, wanted: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    values: Mapping[str, str]
    for how, path, values in (
        ("used", event.step_became_ready.path, event.step_became_ready.inputs_json),
        ("made", event.step_ended.path, event.step_ended.outputs_json),
    ):
        for name, text in sorted(values.items()):
            if "artifact" in text and _has(canonical.loads(text), wanted):
                yield how, path, name


def _has(value: Any, wanted: tuple[str, ...]) -> bool:
    """Tell whether a value is, or contains at any depth, an artifact of one of the digests."""
    waiting, matches = [value], _matcher(wanted)
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            artifact = each.get("artifact")
            if each.keys() == {"artifact"} and isinstance(artifact, dict):
                if matches(str(artifact.get("digest", ""))):
                    return True
            else:
                waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return False


def _matcher(wanted: tuple[str, ...]) -> Any:
    def matches(digest: str) -> bool:
        return digest.startswith(wanted) if digest else False

    return matches
