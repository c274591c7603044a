"""A runner alone: how many microseconds of CPU a step costs its loop and its warm workers, without a broker.

python -m benchmarks.alone_runner [STEPS] [--outstanding N] [--rounds N] [--profile FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import psutil
import structlog

from kaon_runner.__main__ import collect_seldom
from kaon_runner.bootstrap import RunnerService, build_runner
from kaon_runner.settings import Settings
from kaon_runner.transport.base import Deliver, Done, Outgoing
from kaon_wire import canonical
from kaon_wire.topics import STEP_EVENTS
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_FLOWS = Path(__file__).parent / "flows"
_SECONDS = 120.0
_WARM_STEPS = 400
# The number of a run, and of a step in its chain, from 1.
_Place: TypeAlias = tuple[int, int]


class _Transport:
    """Plays broker, matcher and engine: acknowledges on a thread of its own, as the client of Kafka does, and releases steps."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = str(ledger)
        self._sent: queue.SimpleQueue[tuple[str, bytes, Done] | None] = queue.SimpleQueue()
        self._deliver: Deliver | None = None
        self._incarnation = ""
        self._number = 0
        # Chains that are not released yet, how long each is, and steps that have not ended.
        self._left = 0
        self._chain = 1
        self._running = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """See `Transport`."""
        self._incarnation, self._deliver = incarnation, deliver
        self._thread.start()

    def send(self, topic: str, partition: int, message: Outgoing, done: Done) -> None:
        """See `Transport`."""
        self._sent.put((topic, message.SerializeToString(), done))

    def partitions(self, topic: str) -> int:
        """See `Transport`."""
        return 1

    def close(self, timeout: float = 5.0) -> None:
        """See `Transport`."""
        self._sent.put(None)
        self._thread.join(timeout)

    def play(self, steps: int, outstanding: int, chain: int) -> None:
        """Have so many steps executed, in chains of `chain`; return when all have ended."""
        self._over.clear()
        self._left, self._chain = steps // chain, chain
        self._running = self._left * chain
        self._begin(max(1, outstanding // chain))
        assert self._over.wait(_SECONDS), f"{self._running} steps did not end"

    def _answer(self) -> None:
        while (sent := self._sent.get()) is not None:
            topic, record, done = sent
            done(None)
            if topic == STEP_EVENTS:
                self._hear(step_pb2.StepEvents.FromString(record))

    def _hear(self, record: step_pb2.StepEvents) -> None:
        kinds = [str(event.WhichOneof("event")) for event in record.events]
        assert not {"failed", "handed_back"} & {*kinds}, record
        told = list(zip(kinds, (_place(event.key) for event in record.events), strict=True))
        ended = [place for kind, place in told if kind == "succeeded"]
        begun = {place for kind, place in told if kind == "started"}
        self._running -= len(ended)
        # Where the runner has not gone on by itself, the engine requests the next step.
        after = [(run, step + 1) for run, step in ended if step < self._chain]
        self._release([place for place in after if place not in begun])
        self._begin(len(ended) - len(after))
        if not self._running:
            self._over.set()

    def _begin(self, count: int) -> None:
        """Release so many chains, if there are as many left."""
        count = min(count, self._left)
        self._left -= count
        self._release([(self._number + n, 1) for n in range(1, count + 1)])
        self._number += count

    def _release(self, places: Sequence[_Place]) -> None:
        assert self._deliver is not None
        if not places:
            return
        releases = []
        for run, first in places:
            release = self._request(run, first)
            for step in range(first + 1, self._chain + 1):
                release.successors.add(request=self._request(run, step))
            releases.append(release)
        record = step_pb2.StepReleases(
            pool="default", incarnation=self._incarnation, releases=releases
        )
        # As it is read: from bytes.
        self._deliver([step_pb2.StepReleases.FromString(record.SerializeToString())])

    def _request(self, run: int, step: int) -> step_pb2.StepRequest:
        inputs = {"ledger": self._ledger, "run": f"r{run}", "item": step}
        return step_pb2.StepRequest(
            key=step_pb2.StepKey(
                run_id=f"01hf7yat00act{run:013d}", path=f"s{step}", attempt=1, generation=1
            ),
            epoch=1,
            pool="default",
            resources=d.Resources(slots=1),
            ready_time_us=time.time_ns() // 1000,
            spec=step_pb2.StepSpec(
                type="python",
                workflow="bench-chain",
                workflow_version="sha256:" + "0" * 64,
                tenant="default",
                inputs_json={name: canonical.dumps(value) for name, value in inputs.items()},
                outputs={"out": d.VALUE_TYPE_INT},
                config_json='{"entry":"bench_steps:work"}',
            ),
        )


def _place(key: step_pb2.StepKey) -> _Place:
    return int(key.run_id[-13:]), int(key.path[1:])


def _measure(transport: _Transport, loop_cpu: int, options: argparse.Namespace) -> str:
    """Return what a step costs, in words."""
    workers = [each.pid for each in psutil.Process().children(recursive=True) if _is_worker(each)]
    before, began = _seconds(loop_cpu, workers), time.perf_counter()
    transport.play(options.steps, options.outstanding, options.chain)
    after, took = _seconds(loop_cpu, workers), time.perf_counter() - began
    loop, inside = (1e6 * (b - a) / options.steps for a, b in zip(before, after, strict=True))
    rate = options.steps / took
    return f"loop_us_per_step={loop:.1f} workers_us_per_step={inside:.1f} steps_per_s={rate:.0f}"


def _seconds(loop_cpu: int, workers: Sequence[int]) -> tuple[float, float]:
    spent = [int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in workers]
    return time.clock_gettime(loop_cpu), sum(spent) / 1e9


def _is_worker(process: psutil.Process) -> bool:
    return "kaon.step.worker" in process.cmdline()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone_runner", description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=4000)
    parser.add_argument(
        "--outstanding", type=int, default=40, help="steps that the runner has at once"
    )
    parser.add_argument("--slots", type=int, default=4, help="steps that it executes at once")
    parser.add_argument(
        "--chain", type=int, default=1, help="of how many steps a run is, each after the one before"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--profile", type=Path, help="write cProfile's statistics of the loop here, and show them"
    )
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    os.environ["PYTHONPATH"] = str(_FLOWS)
    work = Path(tempfile.mkdtemp(prefix="kaon-alone-"))
    try:
        asyncio.run(_run(work, options))
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def _run(work: Path, options: argparse.Namespace) -> None:
    transport = _Transport(work / "ledger")
    settings = Settings(
        runner_id="alone",
        slots=options.slots,
        work=work,
        artifacts=(work / "store").as_uri(),
        # So that the same workers are there at the end.
        worker_steps=1_000_000,
    )
    service = build_runner(settings, transport)
    running = asyncio.create_task(service.run())
    await asyncio.to_thread(_until_ready, service)
    # As a runner that is a process of its own does.
    collect_seldom()
    loop_cpu = time.pthread_getcpuclockid(threading.get_ident())
    await asyncio.to_thread(transport.play, _WARM_STEPS, options.outstanding, 1)
    profile = cProfile.Profile(time.thread_time) if options.profile else None
    if profile is not None:
        profile.enable()
    for _ in range(1 if profile else options.rounds):
        print(await asyncio.to_thread(_measure, transport, loop_cpu, options), flush=True)
    if profile is not None:
        profile.disable()
        profile.dump_stats(options.profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(60)
    service.request_stop(0.1)
    await running


def _until_ready(service: RunnerService) -> None:
    deadline = time.monotonic() + _SECONDS
    while not service.ready:
        assert time.monotonic() < deadline, "the runner does not begin"
        time.sleep(0.01)


if __name__ == "__main__":
    main()
