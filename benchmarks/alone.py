"""The coordinator alone: how many microseconds of CPU a step costs it, without a broker and with runners that are played.

python -m benchmarks.alone [STEPS] [--batch N] [--lease-tokens] [--stages | --profile FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from kaon_coordinator import expressions
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell import committing
from kaon_coordinator.shell import coordinator as coordinator_module
from kaon_coordinator.shell.coordinator import Coordinator
from kaon_coordinator.shell.lease_proofs import NO_PROOFS, LeaseProofs
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.pools import Pools
from kaon_coordinator.shell.shell_settings import ShellSettings
from kaon_coordinator.shell.turn_loop import TurnLoop
from kaon_coordinator.store.base import NewRun
from kaon_coordinator.store.sql import SqlStore, open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.telemetry import RunTelemetry
from kaon_coordinator.transport.base import Incoming, Send, TopicPartition
from kaon_service.databases import Durability
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_telemetry.tracing import NoSpans
from kaon_wire import canonical, topics
from kaon_wire.lease_tokens import LeaseKeys
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_CATALOGUE = topics.Catalogue()
RUNNER = "runner"
_SECONDS = 60
_HEARTBEAT_SECONDS = 1.0


class _Sinks:
    """As the API and the metrics listen."""

    def __init__(self) -> None:
        self._feed = RunFeed()
        self._telemetry = RunTelemetry(CoordinatorMetrics(CollectorRegistry()), NoSpans())

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        self._feed.publish(events)
        self._telemetry.committed(events)

    def notified(self) -> None:
        """Nobody is told."""

    def progress(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        """Nobody looks."""

    async def logs(self, lines: Sequence[log_pb2.LogLines]) -> None:
        """Nobody looks."""


class _Transport:
    """Acknowledges at once, and keeps what a runner would get."""

    connected = True
    last_contact = 0.0
    trouble = ""

    def __init__(self) -> None:
        self.released: list[bytes] = []

    async def send(self, sends: Sequence[Send]) -> None:
        await asyncio.sleep(0)
        self.released += [
            send.value for send in sends if send.topic == topics.step_ready("default")
        ]

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return {}


# What a stage is called, and the functions whose CPU it is. Inner stages count for themselves alone.
_STAGES: dict[str, tuple[tuple[Any, str], ...]] = {
    "decode": ((coordinator_module, "sort_records"),),
    "decide and fold": ((TurnLoop, "_decide"),),
    "rows": ((committing, "rows_of"), (Partition, "note_rows")),
    "encode history": ((committing, "encode_event"),),
    "transaction": ((SqlStore, "commit_all"),),
    "requests": ((Partition, "effects"),),
    "match": ((Pools, "requests"), (Pools, "advance")),
    "encode records": ((Outbox, "take"), (Outbox, "history")),
}


@contextmanager
def _stages(spent: dict[str, float]) -> Iterator[None]:
    """Adds up the seconds of CPU that each stage takes."""
    stack: list[float] = []
    with ExitStack() as undo:
        for stage, functions in _STAGES.items():
            for owner, name in functions:
                original = getattr(owner, name)
                undo.callback(setattr, owner, name, original)
                setattr(owner, name, _timed(original, stage, spent, stack))
        yield


def _timed(original: Any, stage: str, spent: dict[str, float], stack: list[float]) -> Any:
    @wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        # The store works on a thread of its own and contains no other stage.
        mine = [] if stage == "transaction" else stack
        mine.append(0.0)
        began = time.thread_time()
        try:
            return original(*args, **kwargs)
        finally:
            took = time.thread_time() - began
            spent[stage] = spent.get(stage, 0.0) + took - mine.pop()
            if mine:
                mine[-1] += took

    return timed


@dataclass(frozen=True, kw_only=True)
class Alone:
    """A coordinator that runs, without a broker."""

    coordinator: Coordinator
    store: StoreThread
    transport: _Transport


@asynccontextmanager
async def alone(proofs: LeaseProofs = NO_PROOFS) -> AsyncIterator[Alone]:
    """Starts a coordinator that owns everything."""
    with tempfile.TemporaryDirectory() as directory:
        store = StoreThread(
            open_store(f"sqlite:///{directory}/kaon.db", durability=Durability.RELAXED)
        )
        transport = _Transport()
        coordinator = Coordinator(
            settings=ShellSettings(owner="alone", catalogue=_CATALOGUE, proofs=proofs),
            store=store,
            transport=transport,  # type: ignore[arg-type]
            meter=expressions.Meter,
            sinks=_Sinks(),
        )
        for topic in (topics.STEP_EVENTS, topics.STEP_REQUESTS):
            await coordinator.on_assigned(topic, range(_CATALOGUE.partitions_of(topic)))
        running = asyncio.create_task(coordinator.run())
        yield Alone(coordinator=coordinator, store=store, transport=transport)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


async def measure(
    steps: int, batch: int, proofs: LeaseProofs, profile: cProfile.Profile | None
) -> dict[str, float]:
    """Runs one foreach of so many steps; `batch` of them are outstanding and are reported together."""
    async with alone(proofs) as parts:
        return await play(parts, steps, batch, profile)


async def play(
    parts: Alone,
    steps: int,
    batch: int,
    profile: cProfile.Profile | None = None,
    run_id: str = "run",
) -> dict[str, float]:
    """Runs one foreach in a coordinator, and plays its runner."""
    coordinator, store, transport = parts.coordinator, parts.store, parts.transport
    await _hear(coordinator, batch)
    record, _ = store.store.submit_run(_run(store, steps, run_id))
    if profile is not None:
        profile.enable()
    cpu, began = time.process_time(), time.perf_counter()
    coordinator.wake(0, record)
    done, heard = 0, began
    while done < steps + 1:
        if time.perf_counter() > heard + _HEARTBEAT_SECONDS:
            heard = time.perf_counter()
            await _hear(coordinator, batch)
        requests = [
            request
            for value in transport.released
            for request in step_pb2.StepReleases.FromString(value).releases
        ]
        transport.released.clear()
        if not requests:
            # What nothing follows from, such as a run that failed, must not keep this waiting for ever.
            assert time.perf_counter() - began < _SECONDS, f"{done} of {steps} steps were released"
            await asyncio.sleep(0.001)
            continue
        done += len(requests)
        await coordinator.on_batch([_report(requests, steps)])
    used, took = time.process_time() - cpu, time.perf_counter() - began
    if profile is not None:
        profile.disable()
    status = store.store.get_run("default", run_id).row.status
    assert status == t.SUCCEEDED, status
    return {"cpu_us_per_step": 1e6 * used / steps, "wall_us_per_step": 1e6 * took / steps}


async def _hear(coordinator: Coordinator, slots: int) -> None:
    await coordinator.on_batch([_incoming(topics.RUNNER_HEARTBEATS, heartbeat(slots))])


def heartbeat(slots: int) -> bytes:
    """Return what a played runner with room for so many steps says of itself."""
    told = runner_pb2.RunnerHeartbeat(
        pool="default",
        runner_id=RUNNER,
        incarnation=RUNNER,
        sequence=time.time_ns(),
        labels={"step-type.python": "yes"},
        time_us=time.time_ns() // 1000,
    )
    told.capacity.slots = slots
    told.capacity.cpu_milli = 1000 * slots
    told.capacity.memory_bytes = 1 << 36
    return told.SerializeToString()


def _run(store: StoreThread, steps: int, run_id: str) -> NewRun:
    items = d.Binding(output=d.OutputReference(step="split", output="items"))
    value = {"out": d.VALUE_TYPE_INT}
    work = d.Block(
        name="work",
        step=d.Step(type="python", outputs=value, inputs={"item": d.Binding(item="item")}),
    )
    split = d.Block(name="split", step=d.Step(type="python", outputs={"items": d.VALUE_TYPE_LIST}))
    loop = d.Block(
        name="loop",
        for_each=d.ForEach(item="item", items=items, body=d.Graph(blocks=[work])),
    )
    definition = d.WorkflowDefinition(
        name="w", body=d.Graph(blocks=[split, loop], edges=[d.Edge(source="split", target="loop")])
    )
    version = canonical.digest_message(definition)
    store.store.put_workflow("default", definition, version, 1)
    return NewRun(
        run_id=run_id,
        tenant="default",
        workflow="w",
        version=version,
        partition=0,
        params={},
        submitter="me",
        idempotency_key="",
        now_us=1,
    )


def _report(requests: Sequence[step_pb2.StepRequest], steps: int) -> Incoming:
    record = step_pb2.StepEvents(runner_id=RUNNER, incarnation=RUNNER, partition=0)
    for request in requests:
        record.events.add(key=request.key, started=step_pb2.StepStarted())
        name, value = ("items", list(range(steps))) if request.key.path == "split" else ("out", 1)
        succeeded = step_pb2.StepSucceeded(outputs_json={name: canonical.dumps(value)})
        record.events.add(key=request.key, succeeded=succeeded)
    return _incoming(topics.STEP_EVENTS, record.SerializeToString())


def _incoming(topic: str, value: bytes) -> Incoming:
    return Incoming(topic=topic, partition=0, offset=0, timestamp_ms=0, value=value)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32, help="steps that are outstanding")
    parser.add_argument(
        "--profile", type=Path, help="write cProfile's statistics here, and show them"
    )
    parser.add_argument("--lease-tokens", action="store_true", help="sign and check leases")
    parser.add_argument("--stages", action="store_true", help="tell where the CPU goes")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    profile = cProfile.Profile() if options.profile else None
    keys = LeaseKeys((secrets.token_bytes(32),))
    proofs = LeaseProofs(lambda: keys) if options.lease_tokens else NO_PROOFS
    results = [
        asyncio.run(measure(options.steps, options.batch, proofs, profile))
        for _ in range(1 if profile else 3)
    ]
    for result in results:
        print(" ".join(f"{name}={value:.0f}" for name, value in result.items()))
    if options.stages:
        spent: dict[str, float] = {}
        with _stages(spent):
            used = asyncio.run(measure(options.steps, options.batch, proofs, None))[
                "cpu_us_per_step"
            ]
        for stage, seconds in spent.items():
            print(f"  {stage:<16} {1e6 * seconds / options.steps:6.1f} us a step")
        print(
            f"  {'the rest':<16} {used - 1e6 * sum(spent.values()) / options.steps:6.1f} us a step"
        )
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    main()
