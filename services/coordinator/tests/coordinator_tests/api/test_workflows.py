"""WorkflowService."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode, aio

from kaon_wire.canonical import digest_bytes, digest_message
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w

from .conftest import NOW_US, Api, definition


def _bundle() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("recommend.py", "def wrangle():\n    return 1\n" * 5_000)
    return packed.getvalue()


async def _upload(
    api: Api, data: bytes, digest: str, piece: int = 10_000
) -> w.UploadBundleResponse:
    async def pieces() -> AsyncIterator[w.UploadBundleRequest]:
        for start in range(0, len(data), piece):
            named = digest if start == 0 else ""
            yield w.UploadBundleRequest(digest=named, data=data[start : start + piece])

    return await api.workflows.UploadBundle(pieces())


async def test_an_uploaded_bundle_can_be_fetched_by_its_digest(api: Api, tmp_path: Path) -> None:
    data = _bundle()
    digest = digest_bytes(data)
    for _ in range(2):
        answer = await _upload(api, data, digest)
        assert (answer.digest, answer.size_bytes) == (digest, len(data))
    fetched = api.artifacts.fetch(api.artifacts.by_digest(digest), tmp_path / "fetched.zip")
    assert fetched.read_bytes() == data


async def test_a_bundle_that_was_changed_on_the_way_is_refused(api: Api) -> None:
    data = _bundle()
    digest = digest_bytes(data)
    with pytest.raises(aio.AioRpcError, match="truncated or changed") as told:
        await _upload(api, data[:-1], digest)
    assert told.value.code() == StatusCode.INVALID_ARGUMENT
    assert not api.artifacts.exists(api.artifacts.by_digest(digest))


@pytest.mark.parametrize(("data", "digest"), [(b"x", ""), (b"x", "md5:1"), (b"", "")])
async def test_an_upload_must_name_its_digest_first(api: Api, data: bytes, digest: str) -> None:
    with pytest.raises(aio.AioRpcError, match="first message must name") as told:
        await _upload(api, data, digest)
    assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_registered_workflow_is_kept_under_the_digest_of_its_definition(api: Api) -> None:
    request = w.RegisterWorkflowRequest(definition=definition())
    first = await api.workflows.RegisterWorkflow(request)
    assert first.created
    assert first.workflow.version == digest_message(definition())
    assert first.workflow.create_time.ToMicroseconds() == NOW_US
    again = await api.workflows.RegisterWorkflow(request)
    assert not again.created
    assert again.workflow == first.workflow
    found = await api.workflows.GetWorkflow(w.GetWorkflowRequest(name="nightly"))
    assert found.workflow == first.workflow
    listed = await api.workflows.ListWorkflows(w.ListWorkflowsRequest())
    assert list(listed.workflows) == [first.workflow]


async def test_all_problems_of_a_definition_are_told_at_once(api: Api) -> None:
    api.others.problems += [f"step-{number}: no such step type" for number in range(30)]
    with pytest.raises(aio.AioRpcError) as told:
        await api.register()
    assert told.value.code() == StatusCode.INVALID_ARGUMENT
    text = told.value.details() or ""
    assert "step-0: no such" in text
    assert "step-19: no such" in text
    assert "and 10 more" in text
    with pytest.raises(aio.AioRpcError, match="register it first") as missing:
        await api.workflows.GetWorkflow(w.GetWorkflowRequest(name="nightly"))
    assert missing.value.code() == StatusCode.NOT_FOUND


async def test_a_version_that_is_stored_goes_on_when_new_definitions_must_be_otherwise(
    api: Api,
) -> None:
    first = await api.register()
    api.others.problems += ["a: input 'b-c': use letters"]
    again = await api.workflows.RegisterWorkflow(w.RegisterWorkflowRequest(definition=definition()))
    assert (again.created, again.workflow.version) == (False, first.version)
    changed = definition()
    changed.description = "another"
    with pytest.raises(aio.AioRpcError, match="use letters"):
        await api.workflows.RegisterWorkflow(w.RegisterWorkflowRequest(definition=changed))


async def test_a_workflow_whose_code_is_not_here_is_refused(api: Api) -> None:
    data = _bundle()
    with pytest.raises(aio.AioRpcError, match="upload it first"):
        await api.register(code_bundle=digest_bytes(data))
    with pytest.raises(aio.AioRpcError, match="not a digest"):
        await api.register(code_bundle="latest")
    await _upload(api, data, digest_bytes(data))
    assert (await api.register(code_bundle=digest_bytes(data))).name == "nightly"


async def test_a_definition_of_five_megabytes_is_refused_in_words(api: Api) -> None:
    api.others.problems.append("the definition has too many bytes")
    with pytest.raises(aio.AioRpcError, match="too many bytes"):
        await api.register(description="x" * 5_000_000)


@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f600"])
async def test_problems_in_any_letters_are_told_in_words(api: Api, letter: str) -> None:
    """What does not fit into the header of a status reaches its caller as RESOURCE_EXHAUSTED."""
    api.others.problems += [f"{letter * 150}: no such step type" for _ in range(30)]
    for _ in range(5):
        with pytest.raises(aio.AioRpcError, match=f"{letter}{letter}") as told:
            await api.register()
        assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_workflow_may_notify_only_channels_that_its_tenant_has(api: Api) -> None:
    notified = definition()
    notified.notifications.add(on=[d.OCCASION_FAILED], channel="ops")
    with pytest.raises(aio.AioRpcError, match="there is no channel 'ops'") as told:
        await api.workflows.RegisterWorkflow(w.RegisterWorkflowRequest(definition=notified))
    assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_parameters_that_are_passed_on_must_fit_a_registered_sub_workflow(api: Api) -> None:
    child, parent = definition(), definition()
    child.name, parent.name = "child", "parent"
    del child.parameters[:], parent.parameters[:]
    child.parameters.add(name="day", type=d.VALUE_TYPE_DATE)
    child.parameters.add(name="depth", type=d.VALUE_TYPE_INT)
    child.parameters.add(name="size", type=d.VALUE_TYPE_INT, default_json="1")
    parent.parameters.add(name="day", type=d.VALUE_TYPE_LIST)
    parent.parameters.add(name="unknown", type=d.VALUE_TYPE_LIST)
    called = d.SubWorkflow(workflow="child", pass_params=True)
    parent.body.blocks.add(name="call", sub_workflow=called)

    async def register(definition: d.WorkflowDefinition) -> None:
        await api.workflows.RegisterWorkflow(w.RegisterWorkflowRequest(definition=definition))

    # What is registered later is checked when the block begins.
    await register(parent)
    await register(child)
    parent.description = "once more"
    with pytest.raises(aio.AioRpcError) as told:
        await register(parent)
    text = str(told.value.details())
    assert "call: workflow 'child': parameter 'day' is of type list here and of type date" in text
    assert "call: workflow 'child': parameter 'depth' has no value" in text
    parent.parameters[0].type = d.VALUE_TYPE_STRING
    parent.body.blocks[-1].sub_workflow.params["depth"].literal_json = "2"
    await register(parent)
