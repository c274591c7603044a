"""The whole log of one attempt, as its runner stored it: found by the run's rows and history, read in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from kaon_artifacts import Artifact, ArtifactStore
from kaon_coordinator.api import pieces, places
from kaon_coordinator.engine.rows.rows import StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2

_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class StoredLog:
    """The location of an attempt's log."""

    artifact: Artifact
    attempt: int
    # Names the attempt in errors.
    told: str
    # Line ends in it; None when its runner did not count them.
    lines: int | None = None

    @property
    def named(self) -> str:
        """Name the log in errors."""
        return f"the log of {self.told}"


def find(store: places.PlaceStore, run: RunRecord, written: str, attempt: int) -> StoredLog:
    """Return the log of a step's attempt, of the newest one when `attempt` is 0.

    Raises:
        NotFound: The step or attempt does not exist, or no log was stored for it.
        FailedPrecondition: The attempt has not ended, or the path is a block's.
    """
    run_id, path = run.run_id, places.find(store, run, written)
    step = store.find_row(run_id, path)
    if not isinstance(step, StepRow):
        raise FailedPrecondition(f"{path!r} of run {run_id} is a block: name one of its steps")
    number = attempt or step.attempt
    told = f"attempt {number} of step {path} of run {run_id}"
    log_json = _stored(store, run_id, step, attempt)
    if log_json is None and number == step.attempt and step.status not in t.TERMINAL:
        status = t.short(step.status)  # type: ignore[arg-type]
        raise FailedPrecondition(
            f"{told} has not ended, it is {status}: its whole log is stored when it ends. Until then its lines can be followed, "
            "and the logs of attempts before it can be asked for by their numbers"
        )
    if log_json is None:
        raise NotFound(f"there is no {told} that has ended; its newest one is {step.attempt}")
    if not log_json:
        raise NotFound(f"{told} has no log: {_why_none(step)}")
    artifact, lines = _artifact(log_json, told)
    return StoredLog(artifact=artifact, attempt=number, told=told, lines=lines)


async def read(
    artifacts: ArtifactStore, log: StoredLog, offset: int
) -> AsyncIterator[log_pb2.ReadWholeLogResponse]:
    """Yield the log from a byte offset on, in pieces.

    Raises:
        NotFound: The log was deleted.
        InvalidValue: The log is shorter than `offset`.
        Unavailable: The artifact store does not answer.
    """
    pieces.check_offset(log.artifact, offset, log.named)
    yield log_pb2.ReadWholeLogResponse(
        attempt=log.attempt, size_bytes=log.artifact.size, digest=log.artifact.digest
    )
    async for data in pieces.read(artifacts, log.artifact, offset, log.named):
        yield log_pb2.ReadWholeLogResponse(data=data)


def _stored(store: RunStore, run_id: str, step: StepRow, attempt: int) -> str | None:
    """Return the reference to an attempt's log, empty when there is none; None for an attempt that has not ended."""
    has_ended = step.status in t.TERMINAL or (step.status == t.PENDING and step.retry_us > 0)
    if has_ended and attempt in (0, step.attempt):
        return str(canonical.loads(step.data).get("log", ""))
    found = None
    if attempt:
        for event in _events(store, run_id):
            if (
                event.step_retry_scheduled.path == step.path
                and event.step_retry_scheduled.attempt == attempt
            ):
                found = event.step_retry_scheduled.log_json
            if event.step_ended.path == step.path and event.step_ended.attempt == attempt:
                found = event.step_ended.log_json
    return found


def _events(store: RunStore, run_id: str) -> Iterator[history_pb2.HistoryEvent]:
    seq = 0
    while events := store.history(run_id, seq, _PAGE):
        yield from events
        seq = events[-1].seq


def _why_none(step: StepRow) -> str:
    memo_run_id, memo_path = canonical.loads(step.data).get("memo", ("", ""))
    if memo_run_id:
        return f"its outputs are those of step {memo_path} of run {memo_run_id}"
    return "it printed nothing, or its runner was lost or could not store it; what arrived of it can be read all the same"


def _artifact(log_json: str, told: str) -> tuple[Artifact, int | None]:
    value = canonical.loads(log_json)
    if not isinstance(value, dict) or not isinstance(value.get("artifact"), dict):
        raise InvalidValue(f"the log of {told} is no artifact: {log_json[:200]}")
    lines = value.get("lines")
    return Artifact.from_json(value["artifact"]), lines if type(lines) is int else None
