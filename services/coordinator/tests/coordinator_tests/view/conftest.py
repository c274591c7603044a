"""A served view over a real SQLite store, whose runs the tests play."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from kaon_artifacts import ArtifactStore
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.rows.codec import run_row, take_block_rows, take_step_rows
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.base import PartitionBatch, RunRecord, Store
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.view_reads import ViewReads, open_view_reads
from kaon_coordinator.view.parts import ViewParts, view_parts
from kaon_coordinator.view.sources import Ear
from kaon_coordinator.view.view_server import View, ViewServer
from kaon_service.access.guard import NO_GUARD
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import view_service_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import new_run

NOW_US = 1_700_000_000_000_000


@dataclass(kw_only=True)
class Played:
    """One run, whose history the test writes event by event, as its owner would."""

    store: Store
    record: RunRecord
    state: RunState
    epoch: int

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.record.run_id

    def write(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Makes the next events durable."""
        for event in events:
            event.run_id = self.run_id
            evolve(self.state, event)
        state, dropped = self.state, sorted(self.state.transient.dropped)
        state.transient.dropped.clear()
        self.store.commit(
            PartitionBatch(
                partition=self.record.partition,
                epoch=self.epoch,
                history=events,
                runs=[run_row(state)],
                dropped={self.run_id: dropped},
                steps={self.run_id: take_step_rows(state)},
                blocks={self.run_id: take_block_rows(state)},
            )
        )


def play(store: Store, definition: d.WorkflowDefinition, **changes: object) -> Played:
    """A run of a definition that has no history yet."""
    store.put_workflow("default", definition, "v1", 1)
    record, _ = store.submit_run(
        new_run(workflow=definition.name, version="v1", **({"params": {}} | changes))
    )
    state = RunState(run_id=record.run_id, workflow=compile_workflow(definition, "v1"))
    return Played(store=store, record=record, state=state, epoch=store.claim_partition(3, "owner"))


@dataclass(kw_only=True)
class Told:
    """A source that says what the test says."""

    ears: list[Ear] = field(default_factory=list)

    async def __call__(self, ear: Ear) -> None:
        """Hears."""
        self.ears.append(ear)
        await asyncio.Event().wait()

    def happened(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Says what has happened, as records of a broker do: parts of one message."""
        record = history_pb2.RunEvents(events=events)
        for ear in self.ears:
            ear.happened(record.events)

    def changed(self, *run_ids: str) -> None:
        """Says that runs have changed."""
        for ear in self.ears:
            ear.changed(run_ids)


@dataclass(kw_only=True)
class Served:
    """A served view and what stands behind it."""

    store: Store
    reads: ViewReads
    parts: ViewParts
    told: Told
    stub: view_service_pb2_grpc.ViewServiceAsyncStub
    artifacts: ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    store = open_store(f"sqlite:///{tmp_path}/kaon.db")
    yield store
    store.close()


@pytest.fixture
async def served(tmp_path: Path, store: Store) -> AsyncIterator[Served]:
    """A view of the store. It hears only what the test says, and looks at nothing by itself."""
    reads, told = open_view_reads(f"sqlite:///{tmp_path}/kaon.db"), Told()
    artifacts = ArtifactStore(f"file://{tmp_path}/artifacts")
    parts = view_parts(reads, artifacts, told, lambda: NOW_US)
    view = View(parts)
    server = ViewServer(view, NO_GUARD)
    port = await server.start("127.0.0.1:0")
    work = asyncio.create_task(view.run())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: view_service_pb2_grpc.ViewServiceAsyncStub = view_service_pb2_grpc.ViewServiceStub(
            channel
        )
        yield Served(
            store=store, reads=reads, parts=parts, told=told, stub=stub, artifacts=artifacts
        )
    await server.stop(grace=0)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await view.close()
