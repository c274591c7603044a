"""The artifacts among the outputs of a run, each under the step or block and the output that names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaon_artifacts import Artifact
from kaon_coordinator.api import places
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.store.base import RunRecord
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue, NotFound
from kaon_wire.texts import enumerated
from kaonapi.artifact.v1 import artifact_service_pb2 as a


def listed(store: places.PlaceStore, run: RunRecord, written: str) -> list[a.RunArtifact]:
    """Return the artifacts of a run, those of its own outputs first, then in the order in which steps and blocks were created.

    Args:
        store: where rows are read.
        run: whose artifacts.
        written: path or name of a step, block or cell: only what it and those under it produced; empty for all.

    Raises:
        NotFound: the run has nothing of this name.
        FailedPrecondition: it has not come to be yet.
    """
    _, wanted = places.find_all(store, run, written, later=False)
    own = [] if written else list(_in_outputs("", _outputs(run.row.outputs)))
    rows: list[StepRow | BlockRow] = [*store.list_steps(run.run_id), *store.list_blocks(run.run_id)]
    for row in sorted(rows, key=lambda row: row.position):
        if wanted(row.path):
            own += _in_outputs(row.path, canonical.loads(row.data).get("outputs", {}))
    return own


def the_one(store: places.PlaceStore, run: RunRecord, written: str, output: str) -> a.RunArtifact:
    """Return one artifact of a run.

    Args:
        store: where rows are read.
        run: whose artifact.
        written: path or name of its step or block; empty for an output of the run.
        output: name of the output; empty for the only artifact.

    Raises:
        NotFound: there is none.
        FailedPrecondition: several have this name, or the artifact is kept elsewhere.
    """
    path = places.find(store, run, written) if written else ""
    place = f"{path} of run {run.run_id}" if path else f"run {run.run_id}"
    all_here = list(_in_outputs(path, _outputs_at(store, run, path)))
    found = [each for each in all_here if output in ("", each.output)]
    if not found:
        names = enumerated(each.output for each in all_here)
        raise NotFound(f"{place} has no artifact {output!r}; its artifacts: {names}")
    if len(found) > 1:
        names = enumerated(each.output for each in found)
        raise FailedPrecondition(
            f"{place} has {len(found)} artifacts: name the output, one of {names}"
        )
    if not found[0].digest:
        raise FailedPrecondition(
            f"artifact {found[0].output} of {place} is not in the artifact store: read it at {found[0].uri}"
        )
    return found[0]


def _outputs_at(store: places.PlaceStore, run: RunRecord, path: str) -> Mapping[str, str]:
    """Return the outputs of the row at a path; of the empty path, those of the run."""
    if not path:
        return _outputs(run.row.outputs)
    row = store.find_row(run.run_id, path)
    return {} if row is None else canonical.loads(row.data).get("outputs", {})


def _outputs(text: str) -> Mapping[str, str]:
    return canonical.loads(text) if text else {}


def _in_outputs(path: str, outputs: Mapping[str, str]) -> Iterator[a.RunArtifact]:
    for name, text in sorted(outputs.items()):
        yield from _in_value(path, name, canonical.loads(text))


def _in_value(path: str, output: str, value: Any) -> Iterator[a.RunArtifact]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_value(path, f"{output}[{index}]", item)
    elif (
        isinstance(value, dict)
        and value.keys() == {"artifact"}
        and isinstance(value["artifact"], dict)
    ):
        yield _told(path, output, value["artifact"])


def _told(path: str, output: str, reference: Mapping[str, Any]) -> a.RunArtifact:
    """Describe a reference; one that names no digest is kept elsewhere."""
    try:
        found = Artifact.from_json({"digest": ""} | dict(reference))
    except InvalidValue:
        found = Artifact(uri="", digest="")
    return a.RunArtifact(
        path=path,
        output=output,
        type=found.type,
        digest=found.digest,
        name=found.name,
        size_bytes=found.size,
        media_type=found.media_type,
        uri=found.uri,
    )
