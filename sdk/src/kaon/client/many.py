"""Many submissions in few calls."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import grpc

from kaon.client.errors import InvalidValue, KaonError, Unavailable, of_refusal
from kaon.client.retrying import Patience
from kaon_wire import bounds
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2, run_service_pb2

# Of one call. The coordinator takes 1,000 requests, and a message of 16 MiB.
_REQUESTS = 500
_BYTES = 4 * 1024 * 1024
# Errors that the text of `NotAllSubmitted` has.
_TOLD = 5


class NotAllSubmitted(KaonError):
    """Some of many runs were not submitted; the others are.

    Attributes:
        run_ids: the id of each run, in the order of what was given; empty where there is none.
        errors: why there is none, by place, counted from 0. After an `Unavailable` there may be one.
    """

    def __init__(self, run_ids: Sequence[str], errors: Mapping[int, KaonError]) -> None:
        shown = [f"{place}: {errors[place]}" for place in sorted(errors)[:_TOLD]]
        if len(errors) > _TOLD:
            shown.append(f"and {len(errors) - _TOLD} more")
        super().__init__(
            "\n- ".join(
                [
                    f"{len(errors)} of {counted(len(run_ids), 'run was', 'runs were')} not submitted, by place:",
                    *shown,
                ]
            )
        )
        self.run_ids = run_ids
        self.errors = errors


def request(
    name: str,
    version: str,
    params_json: Mapping[str, str],
    key: str,
    *,
    priority: int = 0,
    labels: Mapping[str, str] | None = None,
    only: Collection[str] = (),
    until: Collection[str] = (),
    validate_only: bool = False,
) -> run_service_pb2.SubmitRunRequest:
    """Return the request for a run; parameters are canonical JSON by name.

    Raises:
        InvalidValue: a value exceeds its bound.
    """
    return bounds.made(
        run_service_pb2.SubmitRunRequest,
        workflow=name,
        version=version,
        params_json=dict(params_json),
        # With a key of its own a call that is tried again cannot make a second run.
        idempotency_key=key or uuid.uuid4().hex,
        priority=priority,
        labels=dict(labels or {}),
        targets=run_pb2.RunTargets(only=only, until=until) if only or until else None,
        validate_only=validate_only,
    )


class Gathered:
    """Submits many runs, and gathers what becomes of each.

    Args:
        params: values of parameters by name, for one run each.
        keys: idempotency keys, one for each run; None: each run has one of its own.
        make: makes the request for values and a key.

    Raises:
        InvalidValue: there are not as many keys as runs.
    """

    def __init__(
        self,
        params: Iterable[Mapping[str, Any]],
        keys: Iterable[str] | None,
        make: Callable[[Mapping[str, Any], str], run_service_pb2.SubmitRunRequest],
    ) -> None:
        self._params = list(params)
        self._keys = [""] * len(self._params) if keys is None else list(keys)
        if len(self._keys) != len(self._params):
            raise InvalidValue(
                f"keys: there must be one for each run: {counted(len(self._keys), 'key')} for {counted(len(self._params), 'run')}"
            )
        self._make = make
        # Places of the requests, in the order in which they are sent.
        self._sent: list[int] = []
        self._answers: dict[int, run_service_pb2.SubmittedRun] = {}
        self._errors: dict[int, KaonError] = {}

    def submit(
        self,
        send: Callable[
            [Iterable[run_service_pb2.SubmitRunRequest]], Iterator[run_service_pb2.SubmittedRun]
        ],
    ) -> list[run_service_pb2.SubmittedRun]:
        """Submit the runs and return all answers, in order.

        Raises:
            NotAllSubmitted: some runs are not submitted.
        """
        places = range(len(self._params))
        try:
            self._gather(send(self._requests()))
        except KaonError as error:
            if not self._answers:
                raise
            known = {*self._answers, *self._errors}
            self._errors |= {place: error for place in places if place not in known}
        if self._errors:
            ids = [
                self._answers[place].run_id if place in self._answers else "" for place in places
            ]
            raise NotAllSubmitted(ids, self._errors)
        return [self._answers[place] for place in places]

    def _gather(self, answers: Iterator[run_service_pb2.SubmittedRun]) -> None:
        for number, answer in enumerate(answers):
            place = self._sent[number]
            self._answers[place] = answer
            if answer.HasField("refusal"):
                self._errors[place] = of_refusal(answer.refusal)

    def _requests(self) -> Iterator[run_service_pb2.SubmitRunRequest]:
        for place, values in enumerate(self._params):
            try:
                made = self._make(values, self._keys[place])
            except KaonError as error:
                self._errors[place] = error
                continue
            self._sent.append(place)
            yield made


def answers(
    send: Callable[[run_service_pb2.SubmitRunsRequest], run_service_pb2.SubmitRunsResponse],
    requests: Iterable[run_service_pb2.SubmitRunRequest],
    patience: Patience,
) -> Iterator[run_service_pb2.SubmittedRun]:
    """Yield the answers to requests in order, as they come.

    Args:
        send: makes a call, with retries.
        requests: each with a key; they are read as far as the next call needs them.
        patience: how long requests are sent again of which the coordinator does not know whether there is a run.

    Raises:
        KaonError: a call has failed as a whole.
    """
    for batch in _batches(requests):
        yield from _answered(send, batch, patience)


def _batches(
    requests: Iterable[run_service_pb2.SubmitRunRequest],
) -> Iterator[list[run_service_pb2.SubmitRunRequest]]:
    batch: list[run_service_pb2.SubmitRunRequest] = []
    size = 0
    for each in requests:
        more = each.ByteSize()
        if batch and (len(batch) == _REQUESTS or size + more > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += more
    if batch:
        yield batch


def _answered(
    send: Callable[[run_service_pb2.SubmitRunsRequest], run_service_pb2.SubmitRunsResponse],
    batch: Sequence[run_service_pb2.SubmitRunRequest],
    patience: Patience,
) -> Iterator[run_service_pb2.SubmittedRun]:
    found: dict[int, run_service_pb2.SubmittedRun] = {}
    left: Sequence[int] = range(len(batch))

    def attempt() -> None:
        nonlocal left
        sent = run_service_pb2.SubmitRunsRequest(requests=[batch[place] for place in left])
        found.update(zip(left, send(sent).answers, strict=True))
        left = [place for place in left if _is_unknown(found[place])]
        if left:
            raise Unavailable(found[left[0]].refusal.message)

    try:
        patience.call(attempt)
    except Unavailable:
        # Each of those that are left has its refusal, unless no call was answered.
        if len(found) < len(batch):
            raise
    yield from (found[place] for place in range(len(batch)))


def _is_unknown(answer: run_service_pb2.SubmittedRun) -> bool:
    return bool(answer.refusal.code == grpc.StatusCode.UNAVAILABLE.value[0])
