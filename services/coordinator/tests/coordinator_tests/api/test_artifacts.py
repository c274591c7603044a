"""ArtifactService: what a run's steps produced, read under the run's name."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from grpc import StatusCode, aio

from kaon_artifacts import Artifact
from kaon_wire import canonical
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc
from kaonapi.run.v1 import run_pb2

from ..store.build import batch, step_row
from .conftest import NOW_US, Api

ELSEWHERE = {"artifact": {"uri": "s3://bucket/key", "type": "dataset"}}


def stub(api: Api) -> artifact_service_pb2_grpc.ArtifactServiceAsyncStub:
    """A client."""
    return artifact_service_pb2_grpc.ArtifactServiceStub(api.channel)


def reference(api: Api, data: bytes, name: str = "") -> dict[str, Any]:
    """A stored artifact, as a value."""
    return {"artifact": replace(api.artifacts.put_bytes(data, "dataset"), name=name).to_json()}


async def run_with(api: Api, **outputs: Any) -> run_pb2.Run:
    """A run whose step `work` has succeeded with these outputs."""
    await api.register()
    run = await api.submit()
    record = api.record(run)
    epoch = api.store.claim_partition(record.partition, "owner")
    data = {
        "type": "python",
        "outputs": {name: json.dumps(value) for name, value in outputs.items()},
    }
    row = step_row(status=run_pb2.STATUS_SUCCEEDED, end_us=NOW_US, data=json.dumps(data))
    first = record.row.seq + 1
    api.store.commit(
        replace(batch(epoch, record, first=first, last=first), steps={run.run_id: [row]})
    )
    return run


async def read(api: Api, run: run_pb2.Run, **fields: Any) -> tuple[a.RunArtifact, bytes]:
    """What the first message tells, and the bytes."""
    first, *rest = [
        message
        async for message in stub(api).ReadArtifact(
            a.ReadArtifactRequest(run_id=run.run_id, **fields)
        )
    ]
    return first.artifact, b"".join(message.data for message in rest)


async def refused(api: Api, run: run_pb2.Run, **fields: Any) -> tuple[StatusCode, str]:
    """How a read fails."""
    with pytest.raises(aio.AioRpcError) as told:
        await read(api, run, **fields)
    return told.value.code(), told.value.details() or ""


async def test_artifacts_are_listed_with_the_output_that_names_them_also_in_lists(api: Api) -> None:
    parts = [reference(api, b"one"), [reference(api, b"two", "two.csv")]]
    run = await run_with(api, rows=3, ratings=reference(api, b"abc", "ratings.csv.gz"), parts=parts)
    found = (await stub(api).ListArtifacts(a.ListArtifactsRequest(run_id=run.run_id))).artifacts
    assert [(each.path, each.output, each.name, each.size_bytes) for each in found] == [
        ("work", "parts[0]", "", 3),
        ("work", "parts[1][0]", "two.csv", 3),
        ("work", "ratings", "ratings.csv.gz", 3),
    ]


async def test_pages_of_the_list_join(api: Api) -> None:
    run = await run_with(api, parts=[reference(api, bytes([number])) for number in range(5)])
    names, token = [], ""
    while True:
        request = a.ListArtifactsRequest(run_id=run.run_id, page_size=2, page_token=token)
        page = await stub(api).ListArtifacts(request)
        names += [each.output for each in page.artifacts]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"parts[{number}]" for number in range(5)]


async def test_an_artifact_is_read_in_pieces_and_from_any_byte_on(api: Api) -> None:
    data = bytes(range(256)) * 4_000
    run = await run_with(api, model=reference(api, data))
    told, found = await read(api, run, path="work", output="model")
    assert (found, told.size_bytes, told.output) == (data, len(data), "model")
    assert (await read(api, run, path="work", offset=1_000_001))[1] == data[1_000_001:]
    assert (await refused(api, run, path="work", offset=len(data) + 1))[
        0
    ] is StatusCode.INVALID_ARGUMENT


async def test_a_name_that_is_not_clear_is_refused_with_those_there_are(api: Api) -> None:
    run = await run_with(api, one=reference(api, b"1"), two=reference(api, b"2"))
    code, text = await refused(api, run, path="work")
    assert (code, "one, two" in text) == (StatusCode.FAILED_PRECONDITION, True)
    code, text = await refused(api, run, path="work", output="three")
    assert (code, "one, two" in text) == (StatusCode.NOT_FOUND, True)
    assert (await refused(api, run, path="wrok"))[0] is StatusCode.NOT_FOUND


async def test_what_is_kept_elsewhere_is_named_with_its_address(api: Api) -> None:
    run = await run_with(api, far=ELSEWHERE)
    code, text = await refused(api, run, path="work")
    assert (code, "s3://bucket/key" in text) == (StatusCode.FAILED_PRECONDITION, True)


async def test_an_artifact_that_was_deleted_is_not_found(api: Api) -> None:
    value = reference(api, b"gone")
    run = await run_with(api, model=value)
    api.artifacts.delete(api.artifacts.by_digest(value["artifact"]["digest"]))
    assert (await refused(api, run, path="work"))[0] is StatusCode.NOT_FOUND


@pytest.mark.parametrize("digest", ["/etc/passwd", "sha256:../../etc/passwd", "sha256:" + "g" * 64])
async def test_a_digest_that_a_step_made_up_opens_nothing(api: Api, digest: str) -> None:
    forged = {"artifact": {"uri": "file:///etc/passwd", "digest": digest, "size": 5}}
    run = await run_with(api, model=forged)
    assert (await refused(api, run, path="work"))[0] in {
        StatusCode.NOT_FOUND,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.FAILED_PRECONDITION,
    }


async def test_the_runs_of_another_tenant_are_not_there(api: Api) -> None:
    run = await run_with(api, model=reference(api, b"mine"))
    other = [("kaon-tenant", "other")]
    with pytest.raises(aio.AioRpcError) as told:
        await stub(api).ListArtifacts(a.ListArtifactsRequest(run_id=run.run_id), metadata=other)
    assert told.value.code() is StatusCode.NOT_FOUND


async def put(api: Api, *pieces: bytes, **header: str) -> a.PutArtifactResponse:
    """Stores an artifact in pieces."""

    async def requests() -> AsyncIterator[a.PutArtifactRequest]:
        digest = canonical.digest_bytes(b"".join(pieces))
        told = {"digest": digest, "type": "dataset", "name": "x.csv", **header}
        yield a.PutArtifactRequest(header=a.PutArtifactHeader(**told))
        for data in pieces:
            yield a.PutArtifactRequest(data=data)

    return await stub(api).PutArtifact(requests())


async def test_an_artifact_is_stored_in_pieces_and_names_itself_as_a_parameter(api: Api) -> None:
    answer = await put(api, b"a,b\n", b"1,2\n")
    told = json.loads(answer.value_json)["artifact"]
    assert (told["name"], told["type"], told["size"]) == ("x.csv", "dataset", 8)
    assert (told["digest"], told["uri"]) == (answer.artifact.digest, answer.artifact.uri)
    with api.artifacts.open(Artifact.from_json(told)) as kept:
        assert kept.read() == b"a,b\n1,2\n"
    for wrong, why in (
        ({"digest": f"sha256:{'0' * 64}"}, "truncated or changed"),
        ({"digest": "md5:1"}, "sha256:<64 hex digits>"),
        ({"type": "table2"}, "use one of dataset"),
        ({"name": "../x"}, "it has a slash"),
        ({"media_type": "text/csv"}, "for a directory"),
    ):
        with pytest.raises(aio.AioRpcError, match=re.escape(why)):
            await put(api, b"a", **wrong)
    with pytest.raises(aio.AioRpcError, match="must name the digest"):
        await stub(api).PutArtifact(iter(()))
