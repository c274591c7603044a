"""Requests with extremes in any of their fields, over gRPC: only documented errors come back, and others go on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import hostile
import hostile_calls
import pytest
from google.protobuf.message import Message
from grpc import StatusCode, aio
from hypothesis import given
from hypothesis import strategies as st

from kaon_artifacts import ArtifactStore
from kaon_publisher.bootstrap import Application
from kaon_publisher.settings import Settings
from kaon_publisher.store.registry import ModelStore
from kaonapi.model.v1 import model_pb2 as m
from kaonapi.model.v1 import model_pb2_grpc

from .models import write_model

METHODS = hostile_calls.methods([m.DESCRIPTOR])


def settings(directory: Path) -> Settings:
    """A publisher without a registry, an engine and a broker."""
    return Settings(
        address="127.0.0.1:0",
        database=hostile.DATABASE or f"sqlite:///{directory}/models.db",
        artifacts=(directory / "artifacts").as_uri(),
        layouts=directory / "layouts",
    )


class Caller:
    """Calls with hostile requests."""

    def __init__(self, directory: Path, channel: aio.Channel) -> None:
        self.channel = channel
        self.stub = model_pb2_grpc.ModelServiceStub(channel)
        self.kept = ArtifactStore((directory / "artifacts").as_uri()).put_directory(
            write_model(directory / "model"), "model"
        )
        self.codes: Counter[str] = Counter()
        self.known = {
            "model": ["m"],
            "consumer": ["c"],
            "artifact_uri": [
                self.kept.uri,
                "file:///etc/passwd",
                "http://127.0.0.1:1/x",
                "nosuch://x",
            ],
            "artifact_digest": [self.kept.digest, "sha256:" + "0" * 64, "/etc/passwd"],
            "idempotency_key": ["k"],
        }

    def publication(self, key: str) -> m.PublishModelRequest:
        """One that is in order."""
        return m.PublishModelRequest(
            model="m",
            artifact_uri=self.kept.uri,
            artifact_digest=self.kept.digest,
            idempotency_key=key,
            metrics={"rmse": 0.9},
            lineage=m.Lineage(workflow="w", run_id="r", data_digests=[self.kept.digest]),
        )

    async def one(self, chance: random.Random) -> None:
        """One thing that a caller does."""
        method = chance.choice(METHODS)
        request: Message
        if method.name == "PublishModel" and chance.random() < 0.7:
            request = self.publication(f"k{chance.random()}")
            hostile.spoil(chance, request, chance.choice((1, 1, 2)), self.known)
        else:
            kind = method.input_type._concrete_class
            request = hostile.message(chance, kind, self.known)
        metadata = (
            (("kaon-tenant", chance.choice(["A/../b", "", "other"])),)
            if chance.random() < 0.1
            else ()
        )
        code, _ = await hostile_calls.call(self.channel, method, request, metadata)
        self.codes[code.name] += 1

    async def canary(self, key: str) -> None:
        """Others go on: what is in order is published."""
        stages = [answer.stage async for answer in self.stub.PublishModel(self.publication(key))]
        assert stages[-1] == m.STAGE_ANNOUNCED


def test_only_documented_errors_come_back_and_others_publish(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        application = Application(settings(tmp_path))
        port = runner.run(application.start())

        async def begun() -> Caller:
            return Caller(tmp_path, aio.insecure_channel(f"127.0.0.1:{port}"))

        caller = runner.run(begun())

        @hostile.effort(150, smaller=False)
        @given(seed=st.integers(0, 2**63))
        def tries(seed: int) -> None:
            runner.run(caller.one(random.Random(seed)))

        tries()
        runner.run(caller.canary("last"))
        runner.run(caller.channel.close())
        runner.run(application.stop())
    print(dict(caller.codes))


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["torn", "cut", "no UTF-8"]
)
async def test_bytes_that_are_no_message_are_refused_in_words(tmp_path: Path, data: bytes) -> None:
    application = Application(settings(tmp_path))
    port = await application.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in METHODS:
            path = hostile_calls.path_of(method)
            asked: Any = (
                channel.unary_stream(path)(data).read()
                if method.server_streaming
                else channel.unary_unary(path)(data)
            )
            with pytest.raises(aio.AioRpcError, match="the request cannot be read") as told:
                await asked
            assert told.value.code() == StatusCode.INVALID_ARGUMENT
    await application.stop()


async def test_what_nobody_has_foreseen_is_told_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("the password is 1234")

    monkeypatch.setattr(ModelStore, "versions", fail)
    monkeypatch.setattr(ModelStore, "published", fail)
    application = Application(settings(tmp_path))
    port = await application.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        caller = Caller(tmp_path, channel)
        calls = (caller.stub.ListModels(m.ListModelsRequest()), caller.canary("k"))
        for call in calls:
            with pytest.raises(aio.AioRpcError, match="internal error") as told:
                await call
            assert told.value.code() == StatusCode.INTERNAL
            assert "1234" not in (told.value.details() or "")
    await application.stop()
