"""The models' database goes away and comes back: what was announced meanwhile is told, and no call repeats its words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc import aio

from kaon_local.postgres import Postgres, temporary_postgres
from kaon_publisher.announcing import Announcer, Notifier
from kaon_publisher.bootstrap import SERVICE, build_publishing
from kaon_publisher.calls import call_rules
from kaon_publisher.service import ModelServicer
from kaon_publisher.settings import settings_from
from kaon_publisher.store.registry import ModelStore
from kaon_service.access.guard import NO_GUARD
from kaon_service.server import GrpcServer
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

pytestmark = pytest.mark.real


class NotingNotifier(Notifier):
    """Notes that all is told: the announcer waits for more."""

    def __init__(self) -> None:
        super().__init__()
        self.all_told = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """See `Notifier`."""
        self.all_told.set()
        await super().wait(seconds)


class NotingBroker:
    """Takes every announcement, and stops the database when it has taken the first."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.taken: list[int] = []
        self.away = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def send(self, value: bytes) -> None:
        """See `Broker`."""
        self.taken.append(model_pb2.Announcement.FromString(value).cursor)
        if len(self.taken) == 1:
            self._server.stop()
            self._loop.call_soon_threadsafe(self.away.set)

    def close(self) -> None:
        """See `Broker`."""


@pytest.fixture
def server() -> Iterator[Postgres]:
    with temporary_postgres(durable=False) as server:
        yield server


def announce(store: ModelStore, count: int) -> None:
    for number in range(count):
        record = model_pb2.ModelVersion(model="m", tenant="t", image_digest=f"sha256:{number}")
        store.announce(record, str(number), "p", 1)


def test_announcements_arrive_after_the_database_was_away_without_a_restart(
    server: Postgres,
) -> None:
    async def run() -> list[int]:
        store = ModelStore(server.url)
        announce(store, 3)
        broker, notifier = NotingBroker(server), NotingNotifier()
        task = asyncio.create_task(Announcer(store, notifier, broker).run())
        ended = asyncio.create_task(_ended(task))
        await _first(broker.away.wait(), ended)
        await asyncio.to_thread(server.start)
        await _first(notifier.all_told.wait(), ended)
        task.cancel()
        await ended
        store.close()
        return broker.taken

    # The first was told before the database could note that it had been.
    assert asyncio.run(asyncio.wait_for(run(), 120)) == [1, 1, 2, 3]


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])


async def _first(event: object, ended: asyncio.Task[None]) -> None:
    waiting = asyncio.ensure_future(event)  # type: ignore[call-overload]
    await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
    assert not ended.done(), "the announcer has ended"


@pytest.mark.parametrize(
    ("breaks", "code"),
    [("away", grpc.StatusCode.UNAVAILABLE), ("damaged", grpc.StatusCode.INTERNAL)],
)
def test_what_the_database_says_does_not_reach_clients(
    tmp_path: Path, breaks: str, code: grpc.StatusCode
) -> None:
    database = tmp_path / "models.db"
    store = ModelStore(f"sqlite:///{database}")

    async def run() -> aio.AioRpcError:
        settings = settings_from(
            {"KAON_ARTIFACTS": tmp_path.as_uri(), "KAON_PUBLISHER_LAYOUTS": str(tmp_path)}
        )
        publishing = build_publishing(settings, store)
        server = GrpcServer([SERVICE], call_rules(NO_GUARD))
        servicer = ModelServicer(store=store, publishing=publishing, notifier=Notifier())
        model_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server.grpc)
        port = await server.start("127.0.0.1:0")
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await model_pb2_grpc.ModelServiceStub(channel).ListModels(
                    model_pb2.ListModelsRequest()
                )
        await server.stop(0)
        return caught.value

    store.close()
    for each in tmp_path.glob("models.db*"):
        each.unlink()
    if breaks == "away":
        database.mkdir()
    else:
        database.write_bytes(b"no database" * 100)
    error = asyncio.run(run())
    assert error.code() == code
    told = error.details() or ""
    assert "the publisher's log tells more under" in told
    assert "sqlite" not in told.lower()
    store.close()
