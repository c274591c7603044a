"""What a request names of another tenant's models gets the answer of what does not exist."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import grpc
import hostile_calls
import other_tenants
import pytest
from grpc import aio

from kaon_artifacts import ArtifactStore
from kaon_publisher.bootstrap import Application
from kaon_publisher.settings import Settings
from kaon_service import page_tokens
from kaonapi.model.v1 import model_pb2 as m
from kaonapi.model.v1 import model_pb2_grpc

from .models import write_model

METHODS = hostile_calls.methods([m.DESCRIPTOR])
ALPHA = (("kaon-tenant", "alpha"), ("kaon-principal", "ann"))
ZULU = (("kaon-tenant", "zulu"), ("kaon-principal", "zulu-zoe"))
_SWITCHES = {"PromoteModel", "RollbackModel", "GetModel"}


def _settings(state: Path) -> Settings:
    return Settings(
        address="127.0.0.1:0",
        database=f"sqlite:///{state}/models.db",
        artifacts=(state / "artifacts").as_uri(),
        layouts=state / "layouts",
    )


def _publication(tenant: str, artifact: Any, key: str) -> m.PublishModelRequest:
    return m.PublishModelRequest(
        model=f"{tenant}-model",
        artifact_uri=artifact.uri,
        artifact_digest=artifact.digest,
        idempotency_key=key,
        metrics={"rmse": 0.9},
    )


async def _shown(stub: Any) -> list[str]:
    """Return everything that is shown to the other tenant of its models."""
    models = await stub.ListModels(m.ListModelsRequest(model="zulu-model"), metadata=ZULU)
    one = await stub.GetModel(m.GetModelRequest(model="zulu-model"), metadata=ZULU)
    return [str(models), str(one)]


async def test_what_another_tenant_has_is_answered_like_what_nobody_has(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    kept = ArtifactStore(settings.artifacts).put_directory(write_model(tmp_path / "model"), "model")
    application = Application(settings)
    port = await application.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        for tenant, metadata in (("alpha", ALPHA), ("zulu", ZULU)):
            for number in (1, 2):
                request = _publication(tenant, kept, f"{tenant}-{number}")
                assert [each async for each in stub.PublishModel(request, metadata=metadata)]
        before = await _shown(stub)
        for case in other_tenants.cases(METHODS):
            await _check(channel, case)
        assert await _shown(stub) == before
    await application.stop()


async def _check(channel: aio.Channel, case: other_tenants.Case) -> None:
    things = {"model": "zulu-model", "consumer": "zulu-consumer", "key": "zulu-1"}
    if case.kind == "token":
        things["token"] = page_tokens.made(0, "zulu-model")
    theirs = things.get(case.kind)
    if case.method.name == "PublishModel" and case.kind != "key":
        # What else it names is its own artifact and text about where it comes from; the model is its own, new or not.
        return

    async def told(thing: str) -> str:
        request: Any = case.method.input_type._concrete_class()
        if case.method.name == "PublishModel":
            request = m.PublishModelRequest(model="alpha-model", artifact_uri="x")
        other_tenants.put(request, case.field, thing)
        if case.method.name == "PromoteModel":
            request.version = 1
        return await other_tenants.outcome(channel, case.method, request, ALPHA, thing)

    assert theirs is not None, str(case)
    nobodys = (
        page_tokens.made(0, "julu-model")
        if case.kind == "token"
        else theirs.replace("zulu", "julu")
    )
    wanted = await told(nobodys)
    assert await told(theirs) == wanted, str(case)
    if case.method.name in _SWITCHES and case.kind == "model":
        assert wanted.startswith("NOT_FOUND"), wanted
        assert await told("alpha-model") != wanted, str(case)


async def test_only_an_artifact_of_the_tenant_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    kept = ArtifactStore(settings.artifacts).put_directory(write_model(tmp_path / "model"), "model")
    has = {"alpha": [kept.digest], "zulu": list[str]()}

    async def lacks(tenant: str, digests: Collection[str]) -> list[str]:
        return [digest for digest in digests if digest not in has[tenant]]

    application = Application(settings)
    # As with authentication, where a coordinator is asked.
    monkeypatch.setattr(application, "_lacks", lacks)
    port = await application.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        texts = set()
        for digest in (kept.digest, f"sha256:{'0' * 64}"):
            request = _publication("zulu", kept, "k")
            request.artifact_digest = digest
            with pytest.raises(aio.AioRpcError) as refused:
                assert [each async for each in stub.PublishModel(request, metadata=ZULU)]
            assert refused.value.code() == grpc.StatusCode.NOT_FOUND
            texts.add((refused.value.details() or "").replace(digest, "DIGEST"))
        assert len(texts) == 1
        mine = stub.PublishModel(_publication("alpha", kept, "k"), metadata=ALPHA)
        assert [each.stage async for each in mine][-1] == m.STAGE_ANNOUNCED
    await application.stop()


async def test_what_else_a_publication_names_of_another_tenant_is_neither_read_nor_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    store = ArtifactStore(settings.artifacts)
    mine = store.put_directory(write_model(tmp_path / "model"), "model")
    my_data, theirs = store.put_bytes(b"of alpha"), store.put_bytes(b"of zulu")

    async def lacks(tenant: str, digests: Collection[str]) -> list[str]:
        assert tenant == "alpha"
        return sorted(set(digests) - {mine.digest, my_data.digest})

    application = Application(settings)
    monkeypatch.setattr(application, "_lacks", lacks)
    port = await application.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        request = _publication("alpha", mine, "k")
        # Where its own artifact is kept follows from the digest, whatever address the caller gives.
        request.artifact_uri = theirs.uri
        request.lineage.data_digests.extend([theirs.digest, my_data.digest])
        stages = [each async for each in stub.PublishModel(request, metadata=ALPHA)]
    await application.stop()
    assert stages[-1].stage == m.STAGE_ANNOUNCED
    assert stages[-1].version.artifact_uri == mine.uri
    kept = {digest.removeprefix("sha256:") for digest in (mine.digest, my_data.digest)}
    assert store.marks.pinned() == kept
    assert not store.marks.is_suspect(mine.digest.removeprefix("sha256:"))
