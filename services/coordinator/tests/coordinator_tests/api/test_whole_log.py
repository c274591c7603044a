"""LogService: the whole log of an attempt, from the artifact store."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from grpc import StatusCode, aio

from kaon_coordinator.engine.rows.rows import StepRow
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2, run_pb2

from ..store.build import batch, step_row
from .conftest import NOW_US, Api


def _stored(api: Api, data: bytes) -> str:
    return json.dumps({"artifact": api.artifacts.put_bytes(data, "text").to_json()})


async def _begin(api: Api) -> run_pb2.Run:
    await api.register()
    return await api.submit()


def _commit(api: Api, run: run_pb2.Run, step: StepRow, *events: history_pb2.HistoryEvent) -> None:
    """Acts as the owner of the run: the step as it is, after these events."""
    record = api.record(run)
    epoch = api.store.claim_partition(record.partition, "owner")
    first = record.row.seq + 1
    for seq, event in enumerate(events, first):
        event.run_id, event.seq = run.run_id, seq
    decided = batch(epoch, record, first=first, last=first)
    if events:
        decided = replace(
            batch(epoch, record, last=record.row.seq + len(events)), history=list(events)
        )
    api.store.commit(replace(decided, steps={run.run_id: [step]}))


def _ended(log_json: str = "", **changes: Any) -> StepRow:
    data = {"type": "python", "log": log_json, **changes.pop("data", {})}
    return step_row(status=run_pb2.STATUS_FAILED, end_us=NOW_US, data=json.dumps(data), **changes)


async def _read(
    api: Api, run: run_pb2.Run, path: str = "work", **fields: Any
) -> tuple[bytes, log_pb2.ReadWholeLogResponse]:
    """The log and the first message."""
    request = log_pb2.ReadWholeLogRequest(run_id=run.run_id, path=path, **fields)
    first, *rest = [response async for response in api.logs.ReadWholeLog(request)]
    assert not first.data
    return b"".join(response.data for response in rest), first


async def _refused(
    api: Api, run: run_pb2.Run, path: str = "work", **fields: Any
) -> tuple[StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as told:
        await _read(api, run, path, **fields)
    return told.value.code(), told.value.details() or ""


async def test_the_whole_log_is_read_in_pieces_and_from_any_byte_on(api: Api) -> None:
    run, data = await _begin(api), bytes(range(256)) * 4_000
    _commit(api, run, _ended(_stored(api, data)))
    found, first = await _read(api, run)
    assert found == data
    assert (first.size_bytes, first.attempt) == (len(data), 1)
    assert first.digest.startswith("sha256:")
    assert (await _read(api, run, offset=1_000_001))[0] == data[1_000_001:]
    assert (await _read(api, run, offset=len(data)))[0] == b""
    assert (await _refused(api, run, offset=len(data) + 1))[0] is StatusCode.INVALID_ARGUMENT


async def test_earlier_attempts_have_logs_of_their_own(api: Api) -> None:
    run = await _begin(api)
    retry = history_pb2.StepRetryScheduled(path="work", attempt=1, log_json=_stored(api, b"first"))
    other = history_pb2.StepRetryScheduled(path="other", attempt=1, log_json=_stored(api, b"other"))
    events = [history_pb2.HistoryEvent(step_retry_scheduled=each) for each in (retry, other)]
    _commit(api, run, step_row(attempt=2), *events)
    assert (await _read(api, run, attempt=1))[0] == b"first"
    code, text = await _refused(api, run)
    assert code is StatusCode.FAILED_PRECONDITION
    assert "attempt 2 of step work" in text
    assert "has not ended, it is RUNNING" in text
    assert (await _refused(api, run, attempt=2)) == (code, text)
    _commit(api, run, _ended(_stored(api, b"second"), attempt=2))
    assert (await _read(api, run))[0] == b"second"
    assert (await _read(api, run, attempt=1))[0] == b"first"
    assert "newest one is 2" in (await _refused(api, run, attempt=3))[1]


async def test_an_attempt_that_waits_for_the_next_one_has_ended(api: Api) -> None:
    run = await _begin(api)
    _commit(
        api,
        run,
        replace(_ended(_stored(api, b"first")), status=run_pb2.STATUS_PENDING, retry_us=NOW_US),
    )
    assert (await _read(api, run))[0] == b"first"


async def test_what_is_not_there_is_told_in_words(api: Api) -> None:
    run, gone = await _begin(api), _stored(api, b"gone")
    _commit(api, run, _ended())
    assert "printed nothing" in (await _refused(api, run))[1]
    _commit(api, run, _ended(data={"memo": ["r0", "earlier"]}))
    assert "those of step earlier of run r0" in (await _refused(api, run))[1]
    _commit(api, run, _ended(gone))
    api.artifacts.delete(api.artifacts.by_digest(json.loads(gone)["artifact"]["digest"]))
    code, text = await _refused(api, run)
    assert code is StatusCode.NOT_FOUND
    assert "was deleted from the artifact store" in text
    assert (await _refused(api, run, "nowhere"))[0] is StatusCode.NOT_FOUND
    assert "is a block" in (await _refused(api, run, "regions"))[1]


async def test_only_logs_of_ones_own_runs_can_be_read_whole(api: Api) -> None:
    run = await _begin(api)
    _commit(api, run, _ended(_stored(api, b"mine")))
    request = log_pb2.ReadWholeLogRequest(run_id=run.run_id, path="work")
    with pytest.raises(aio.AioRpcError) as told:
        await api.logs.ReadWholeLog(request, metadata=(("kaon-tenant", "other"),)).read()
    assert told.value.code() is StatusCode.NOT_FOUND


async def test_a_store_that_does_not_answer_is_asked_again_later(api: Api) -> None:
    run = await _begin(api)
    log_json = json.loads(_stored(api, b"x"))
    log_json["artifact"]["uri"] = "file:///elsewhere/sha256/ab/cd"
    _commit(api, run, _ended(json.dumps(log_json)))
    code, text = await _refused(api, run)
    assert code is StatusCode.UNAVAILABLE
    assert "is not in the store" in text
