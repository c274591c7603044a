"""The coordinator with its API alone: what a run of three steps costs it, without a broker and with a played runner.

python -m benchmarks.alone_runs [RUNS] [--steps N] [--repeats N] [--direct | --together] [--profile FILE]

Steps are in a row; the runner starts what it may by itself, and chains of more than sixteen go on before they
end. Runs are submitted at once, as in workload `three`: over gRPC from a process of their own, each with a call
or with --together all with one, as in workload `three-together`; or with --direct by a call of the owner, without
gRPC, its checks, and the API. The difference is what the API costs.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
import uvloop

from benchmarks.alone import RUNNER, heartbeat
from kaon_coordinator.bootstrap import Application
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.settings import Settings
from kaon_coordinator.shell.gc_tuning import collect_seldom
from kaon_coordinator.store.base import NewRun
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.transport.base import GROUP_TOPICS, Handler, Incoming, Send, TopicPartition
from kaon_service.databases import Durability
from kaon_wire import canonical, topics
from kaon_wire.partitioning import partition_of
from kaon_wire.successions import inputs_digest
from kaonapi.run.v1 import run_service_pb2, run_service_pb2_grpc
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# As on a machine with one coordinator.
_CATALOGUE = topics.Catalogue(run_partitions=2)
_STEPS = 3
_SLOTS = 64
_HEARTBEAT_SECONDS = 1.0
_SECONDS = 120


@dataclass(kw_only=True)
class _Chain:
    """A release, and the steps that the runner may start by itself after it."""

    partition: int
    # The step that is released, or that an extension named; then those after it.
    keys: list[step_pb2.StepKey]
    # Place of the step that ends now.
    place: int = 0
    # Whether that step was released, and its start has not been told yet.
    is_new: bool = True

    def extend(self, extension: step_pb2.ChainExtension) -> None:
        """Go on with other steps after one that has begun."""
        paths = [key.path for key in self.keys]
        self.place -= paths.index(extension.key.path)
        self.keys = [extension.key, *map(_key, extension.successors)]


class _Played:
    """A transport that acknowledges at once, and a runner that succeeds with each step that it is given."""

    connected = True
    last_contact = 0.0
    trouble = ""

    def __init__(self) -> None:
        self.done = 0
        self._released: list[bytes] = []
        # Of each run partition, what the runner says next.
        self._said: list[step_pb2.StepRequest] = []
        self._filled = asyncio.Event()
        self._offsets: dict[TopicPartition, int] = {}

    async def start(self, handler: Handler) -> None:
        """Assign everything, and begin to play."""
        for topic in GROUP_TOPICS:
            await handler.on_assigned(topic, range(_CATALOGUE.partitions_of(topic)))
        self._playing = asyncio.create_task(self._play(handler))

    async def stop(self) -> None:
        """Stop the runner."""
        self._playing.cancel()
        await asyncio.gather(self._playing, return_exceptions=True)

    async def failed(self) -> None:
        """Return when the runner has stopped."""
        await asyncio.shield(self._playing)

    async def send(self, sends: Sequence[Send]) -> None:
        """Acknowledge, and keep what the runner gets."""
        await asyncio.sleep(0)
        found = [send.value for send in sends if send.topic == topics.step_ready("default")]
        if found:
            self._released += found
            self._filled.set()

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return nothing: no lease ends."""
        return {}

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Fail: nothing that is played may be refused."""
        raise AssertionError(f"{incoming.topic}: {reason}")

    async def _play(self, handler: Handler) -> None:
        going: list[_Chain] = []
        heard = 0.0
        while True:
            if time.perf_counter() > heard + _HEARTBEAT_SECONDS:
                heard = time.perf_counter()
                await handler.on_batch(
                    [self._incoming(topics.RUNNER_HEARTBEATS, 0, heartbeat(_SLOTS))]
                )
            if not going and not self._released:
                self._filled.clear()
                await asyncio.wait([asyncio.ensure_future(self._filled.wait())], timeout=0.5)
                continue
            released, self._released = self._released, []
            for value in released:
                message = step_pb2.StepReleases.FromString(value)
                going += map(_chain, message.releases)
                for extension in message.extensions:
                    for chain in going:
                        if chain.keys[0].run_id == extension.key.run_id:
                            chain.extend(extension)
            records, going = _reports(going)
            self.done += sum(len(record.events) for record in records.values())
            await handler.on_batch(
                [
                    self._incoming(topics.STEP_EVENTS, number, record.SerializeToString())
                    for number, record in records.items()
                ]
            )

    def _incoming(self, topic: str, partition: int, value: bytes) -> Incoming:
        offset = self._offsets[topic, partition] = self._offsets.get((topic, partition), -1) + 1
        return Incoming(
            topic=topic, partition=partition, offset=offset, timestamp_ms=0, value=value
        )


def _reports(going: Iterable[_Chain]) -> tuple[dict[int, step_pb2.StepEvents], list[_Chain]]:
    """Return what the runner says when each of these steps has succeeded, and the chains that go on."""
    records: dict[int, step_pb2.StepEvents] = {}
    further = []
    for chain in going:
        record = records.get(chain.partition)
        if record is None:
            record = records[chain.partition] = step_pb2.StepEvents(
                runner_id=RUNNER, incarnation=RUNNER, partition=chain.partition
            )
        if chain.is_new:
            record.events.add(key=chain.keys[0], started=step_pb2.StepStarted())
            chain.is_new = False
        record.events.add(key=chain.keys[chain.place], succeeded=step_pb2.StepSucceeded())
        chain.place += 1
        if chain.place < len(chain.keys):
            record.events.add(key=chain.keys[chain.place], started=step_pb2.StepStarted())
            further.append(chain)
    return records, further


def _chain(request: step_pb2.StepRequest) -> _Chain:
    return _Chain(partition=request.partition, keys=[request.key, *map(_key, request.successors)])


def _key(successor: step_pb2.Successor) -> step_pb2.StepKey:
    key = step_pb2.StepKey()
    key.CopyFrom(successor.request.key)
    key.succession = inputs_digest(successor.request.spec.inputs_json)
    return key


def _definition(steps: int) -> d.WorkflowDefinition:
    """Return the shape of workloads `three` and `chain`: steps in a row that get two parameters and a literal."""
    blocks = [
        d.Block(
            name=f"s{number}",
            step=d.Step(
                type="python",
                inputs={
                    "ledger": d.Binding(parameter="ledger"),
                    "run": d.Binding(parameter="run"),
                    "step": d.Binding(literal_json=canonical.dumps(f"s{number}")),
                },
            ),
        )
        for number in range(1, steps + 1)
    ]
    edges = [d.Edge(source=f"s{number}", target=f"s{number + 1}") for number in range(1, steps)]
    parameters = [d.Parameter(name=name, type=d.VALUE_TYPE_STRING) for name in ("ledger", "run")]
    return d.WorkflowDefinition(
        name="three", parameters=parameters, body=d.Graph(blocks=blocks, edges=edges)
    )


def _params(number: int) -> dict[str, str]:
    return {"ledger": canonical.dumps("/tmp/a/ledger"), "run": canonical.dumps(f"r{number}")}


@asynccontextmanager
async def _serving(transport: _Played, steps: int) -> AsyncIterator[tuple[Application, int, str]]:
    """Start a coordinator that owns everything; give its port, and the version of the workflow."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/kaon.db"
        definition = _definition(steps)
        version = canonical.digest_message(definition)
        store = open_store(url, durability=Durability.RELAXED)
        store.put_workflow("default", definition, version, 1)
        store.close()
        settings = Settings(
            database=url,
            address="127.0.0.1:0",
            artifacts=f"file://{directory}/artifacts",
            scratch="",
            durability="relaxed",
            owner="alone",
            catalogue=_CATALOGUE,
        )
        application = Application(settings, transport)
        port = await application.start()
        collect_seldom()
        try:
            yield application, port, version
        finally:
            await application.stop()


async def _direct(application: Application, runs: int, version: str) -> None:
    """Begin runs without the API."""
    now_us = time.time_ns() // 1000
    ids = [new_run_id(now_us) for _ in range(runs)]
    begun = await application.coordinator.begin(
        [
            NewRun(
                run_id=run_id,
                tenant="default",
                workflow="three",
                version=version,
                partition=partition_of(run_id, _CATALOGUE.run_partitions),
                params=_params(number),
                submitter="me",
                idempotency_key="",
                now_us=now_us,
            )
            for number, run_id in enumerate(ids)
        ]
    )
    assert all(begun), (
        f"{begun.count(None)} of {len(begun)} runs were handed back: on a machine that is so busy no turn takes them in time"
    )


def submit(port: int, version: str, *, together: bool) -> None:
    """Submit as many runs at once as each line of the input says, until it ends; `together`: with one call."""
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = run_service_pb2_grpc.RunServiceStub(channel)
    for line in sys.stdin:
        requests = [
            run_service_pb2.SubmitRunRequest(
                workflow="three", version=version, params_json=_params(number)
            )
            for number in range(int(line))
        ]
        if together:
            many = run_service_pb2.SubmitRunsRequest(requests=requests)
            answered = stub.SubmitRuns(many, timeout=_SECONDS).answers
            assert all(each.created for each in answered), "a run was refused"
        else:
            answers = [stub.SubmitRun.future(request, timeout=_SECONDS) for request in requests]
            for answer in answers:
                answer.result()
        print("done", flush=True)
    channel.close()


async def measure(
    runs: int,
    repeats: int,
    *,
    steps: int = _STEPS,
    direct: bool,
    together: bool = False,
    profile: cProfile.Profile | None,
) -> list[float]:
    """Return the microseconds of CPU of one run, of each repeat."""
    found = []
    transport = _Played()
    async with _serving(transport, steps) as (application, port, version):
        client = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "benchmarks.alone_runs",
                "--client",
                f"{port},{version},{int(together)}",
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        for number in range(repeats + 1):
            if number == 1 and profile is not None:
                profile.enable()
            wanted = transport.done + 2 * steps * runs
            began, cpu = time.perf_counter(), time.process_time()
            if direct:
                await _direct(application, runs, version)
            else:
                client.stdin.write(f"{runs}\n".encode())
                await client.stdout.readline()
            while transport.done < wanted or application.coordinator.runs_open:
                assert time.perf_counter() - began < _SECONDS, f"{transport.done} of {wanted}"
                await asyncio.sleep(0.001)
            if number:
                found.append(1e6 * (time.process_time() - cpu) / runs)
        if profile is not None:
            profile.disable()
        client.stdin.close()
        await client.wait()
    return found


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone_runs", description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=100)
    parser.add_argument("--steps", type=int, default=_STEPS, help="steps of a run, in a row")
    parser.add_argument("--repeats", type=int, default=30)
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--direct", action="store_true", help="without the API")
    ways.add_argument("--together", action="store_true", help="with one call of the API")
    parser.add_argument(
        "--profile", type=Path, help="write cProfile's statistics here, and show them"
    )
    parser.add_argument("--client", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, version, together = options.client.split(",")
        submit(int(port), version, together=together == "1")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    # Processor time: others use the machine, too.
    profile = cProfile.Profile(time.thread_time) if options.profile else None
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    found = asyncio.run(
        measure(
            options.runs,
            options.repeats,
            steps=options.steps,
            direct=options.direct,
            together=options.together,
            profile=profile,
        )
    )
    told = {
        "cpu_us_per_run": statistics.median(found),
        # One value has no quartiles.
        "first_quartile": statistics.quantiles(found)[0] if len(found) > 1 else found[0],
        "least": min(found),
    }
    print(json.dumps({name: round(value) for name, value in told.items()}))
    if profile is not None:
        profile.dump_stats(options.profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(60)


if __name__ == "__main__":
    main()
