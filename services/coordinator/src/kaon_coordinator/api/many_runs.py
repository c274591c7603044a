"""RunService: many runs with one call.

What requests share is looked up once: the version of the workflow, whether its steps fit into the quota of the tenant, the last
success. Each request is checked, and refused, by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from kaon_coordinator.api import gate_rules
from kaon_coordinator.api.calls import STATUSES, check_bounds
from kaon_coordinator.api.submission import Submission, checked_key
from kaon_coordinator.api.submitter import Submitted
from kaon_coordinator.store.base import NewRun
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.access import recording
from kaon_service.statuses import name_of
from kaon_wire.errors import Exhausted, InvalidValue, KaonError
from kaon_wire.statuses import fitting
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.run.v1 import run_service_pb2_grpc

log = structlog.get_logger(__name__)
T = TypeVar("T")

MOST_REQUESTS = 1_000
# Bytes of one request beside its parameters.
_BESIDE_BYTES = 262_144
# Requests are checked for so many seconds before others go on.
_PIECE_SECONDS = 0.002


class ManyRunsServicer(run_service_pb2_grpc.RunServiceServicer):
    """The method that submits many runs."""

    _threads: StoreCalls[Any]
    _submission: Submission

    async def SubmitRuns(self, request: r.SubmitRunsRequest, context: Any) -> r.SubmitRunsResponse:  # noqa: N802
        """Store each run durably that can be submitted, and begin it; answer each request in its place."""
        requests = request.requests
        if len(requests) > MOST_REQUESTS:
            raise InvalidValue(
                f"requests: there are {len(requests)}; use at most {MOST_REQUESTS} in one call"
            )
        parts = [recording.Part(request=one) for one in requests]
        recording.divide(parts)
        made = await self._made(requests)
        answers: dict[int, r.SubmittedRun] = {}
        wanted: dict[int, NewRun] = {}
        for place, (one, new) in enumerate(zip(requests, made, strict=True)):
            if not isinstance(new, NewRun):
                answers[place] = _refused(new)
            elif one.validate_only:
                answers[place] = r.SubmittedRun(version=new.version)
            else:
                wanted[place] = new
        stored = await self._submission.submit_each(list(wanted.values()))
        answers.update(zip(wanted, map(_answer, stored), strict=True))
        told = [answers[place] for place in range(len(requests))]
        for part, each in zip(parts, told, strict=True):
            part.outcome = name_of(each.refusal.code)
        log.info(
            "runs submitted",
            tenant=principal.current().tenant,
            requests=len(told),
            created=sum(each.created for each in told),
            refused=sum(each.HasField("refusal") for each in told),
        )
        return r.SubmitRunsResponse(answers=told)

    async def _made(self, requests: Sequence[r.SubmitRunRequest]) -> list[NewRun | Exception]:
        """Return the checked run of each request, or why it is refused."""
        making, pieces = _Making(threads=self._threads, submission=self._submission), _Pieces()
        made: list[NewRun | Exception] = []
        for one in requests:
            try:
                made.append(await making.run(one))
            except Exception as error:
                made.append(error)
            await pieces.end_one()
        runs = [each for each in made if isinstance(each, NewRun)]
        refusals = iter(await self._submission.check_each(runs))
        return [(next(refusals) or each) if isinstance(each, NewRun) else each for each in made]


@dataclass(frozen=True, kw_only=True)
class _Making:
    """Makes runs of requests of one caller."""

    threads: StoreCalls[Any]
    submission: Submission
    _shared: dict[Hashable, Any] = field(default_factory=dict)

    async def run(self, request: r.SubmitRunRequest) -> NewRun:
        """Return the run of a request, checked but for the artifacts that it names.

        Raises:
            KaonError: As SubmitRun refuses it.
        """
        self._check_size(request)
        check_bounds(request)
        submission, name, version = self.submission, request.workflow, request.version
        workflow = await self._once((name, version), lambda: submission.workflow(name, version))
        new = submission.new_run(
            workflow,
            request.params_json,
            idempotency_key=checked_key(request.idempotency_key),
            priority=request.priority,
            labels=request.labels,
            targets=request.targets,
            previous=await self._once(
                (name, version, "previous"), lambda: submission.previous_success(workflow)
            ),
        )
        if new.only:
            await self._once(
                (name, version, new.only, new.until),
                lambda: gate_rules.check_targets_of(self.threads, workflow, request.targets),
            )
        await self._once(
            (name, version, new.priority),
            lambda: submission.bounds.check(workflow, new.priority, principal.current()),
        )
        return new

    def _check_size(self, request: Message) -> None:
        most = self.submission.limits.params_bytes + _BESIDE_BYTES
        if (size := request.ByteSize()) > most:
            raise InvalidValue(
                f"the request has {size} bytes, at most {most} of a call for many runs: use an artifact"
            )

    async def _once(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return what was made for this key, or raise the error with which that was refused."""
        if key not in self._shared:
            try:
                self._shared[key] = await make()
            except KaonError as error:
                self._shared[key] = error
        found = self._shared[key]
        if isinstance(found, KaonError):
            raise found
        made: T = found
        return made


class _Pieces:
    """Lets others go on between the pieces of a long work."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def end_one(self) -> None:
        """End a small part of the work; the piece ends with it when it was long enough."""
        if time.perf_counter() - self._began > _PIECE_SECONDS:
            await asyncio.sleep(0)
            self._began = time.perf_counter()


def _answer(stored: Submitted) -> r.SubmittedRun:
    if isinstance(stored, Exception):
        return _refused(stored)
    run, created = stored
    return r.SubmittedRun(run_id=run.run_id, created=created, version=run.version)


def _refused(error: Exception) -> r.SubmittedRun:
    code, message = STATUSES.told(error, "SubmitRuns")
    retry_seconds = error.retry_seconds if isinstance(error, Exhausted) else 0.0
    refusal = r.SubmissionRefusal(
        code=code.value[0],
        message=fitting(message),
        retry_ms=int(retry_seconds * 1000) + 1 if retry_seconds > 0 else 0,
    )
    return r.SubmittedRun(refusal=refusal)
