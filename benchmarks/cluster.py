"""A simulated cluster drives the matcher alone: 10,000 runners, a million requests, no Kafka, no store, no clock but its own.

    python benchmarks/cluster.py [--runners 10000] [--requests 1000000] [--successors 0] [--json FILE]

Printed: decisions a second (CPU time of the matcher only), fairness while everybody has a backlog, how long steps waited, and what
a waiting request costs in memory; beside it the same cluster without fairness, as a control: first come, first served.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import random
import time
import tracemalloc
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kaon_coordinator.matching.match_effects import Release, Withdraw
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.tenants import Tenants, tenants_from
from kaon_coordinator.shell.gc_tuning import collect_seldom
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

GIB = 1 << 30
# Seconds between two rounds of matching: what a busy coordinator collects into one turn.
TURN = 0.05
HEARTBEAT = 2.0
# The one tenant of the control.
ALL = "all"
# A tenant that waits for more than so many steps has a backlog: only then its share says something about fairness.
_BACKLOG = 200


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one tenant asks for."""

    tenant: str
    # Its part of all requests. They are there from the start, or come evenly over the simulated time when `paced`.
    part: float
    weight: float = 1.0
    paced: bool = False
    priority: int = 0
    # Mean seconds that a step takes; each takes between half and one and a half of it.
    mean: float = 8.0
    slots: int = 1
    memory: int = GIB
    gpu: int = 0
    labels: tuple[str, ...] = ()
    bundles: int = 10


LOADS = (
    Load(tenant="flood", part=0.355, bundles=50),
    Load(tenant="light", part=0.17, mean=6.0),
    Load(tenant="double", part=0.30, weight=2.0),
    Load(tenant="memory", part=0.06, memory=8 * GIB, mean=10.0),
    Load(tenant="gpu", part=0.05, gpu=1, labels=("gpu!=none",), mean=10.0),
    Load(tenant="large", part=0.01, slots=4, mean=12.0),
    Load(tenant="europe", part=0.05, labels=("region in (eu, uk)",)),
    Load(tenant="interactive", part=0.005, paced=True, mean=2.0),
)


@dataclass(eq=False, slots=True, kw_only=True)
class Machine:
    """A runner that does what it is told."""

    incarnation: str
    capacity: definition_pb2.Resources
    labels: dict[str, str]
    free_slots: int
    running: dict[str, step_pb2.StepKey] = field(default_factory=dict)
    queued: dict[str, tuple[step_pb2.StepKey, int]] = field(default_factory=dict)
    bundles: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    sequence: int = 0

    def heartbeat(self, now: float) -> runner_pb2.RunnerHeartbeat:
        """What it says now."""
        self.sequence += 1
        return runner_pb2.RunnerHeartbeat(
            pool="default",
            runner_id=self.incarnation,
            incarnation=self.incarnation,
            sequence=self.sequence,
            capacity=self.capacity,
            labels=self.labels,
            running=self.running.values(),
            queued=[key for key, _ in self.queued.values()],
            warm_bundles=self.bundles,
            time_us=int(now * 1e6),
            recent_step_us=8_000_000,
        )


def machines(count: int, draw: random.Random) -> list[Machine]:
    """A tenth with GPUs, three sizes, three regions."""
    made = []
    for number in range(count):
        gpu = 2 if number % 10 == 0 else 0
        slots = draw.choice((4, 4, 8))
        labels = {
            "gpu": "a100" if gpu else "none",
            "region": draw.choice(("eu", "us", "uk")),
            "spark": "4.3",
        }
        capacity = definition_pb2.Resources(slots=slots, memory_bytes=slots * 4 * GIB, gpu=gpu)
        made.append(
            Machine(incarnation=f"m{number}", capacity=capacity, labels=labels, free_slots=slots)
        )
    return made


@dataclass(eq=False, slots=True, kw_only=True)
class Step:
    """One request on its way."""

    load: Load
    asked: float
    seconds: float
    bundle: str
    machine: Machine | None = None
    started: float = -1.0


@dataclass(kw_only=True)
class Result:
    """What was measured."""

    decisions: int = 0
    matcher_seconds: float = 0.0
    heartbeat_seconds: float = 0.0
    heartbeats: int = 0
    simulated: float = 0.0
    withdrawals: int = 0
    # Seconds that steps waited from their request to their start, by tenant.
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    # Samples of dominant share divided by weight, while the tenants of `fair` all had a backlog.
    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    explained: str = ""


class Cluster:
    """The simulation: time goes on in turns, as a coordinator's does."""

    def __init__(
        self, *, runners: int, requests: int, fair: bool, successors: int = 0, seed: int = 1
    ) -> None:
        self._draw = random.Random(seed)
        self._fair = fair
        self._successors = successors
        self._machines = {machine.incarnation: machine for machine in machines(runners, self._draw)}
        tenants = _tenants() if fair else Tenants()
        self.matcher = PoolMatcher(
            pool="default", epoch=1, run_partitions=8, now=0.0, tenants=tenants
        )
        self._steps: dict[str, Step] = {}
        self._ends: list[tuple[float, str]] = []
        self._ended: list[step_pb2.StepEnded] = []
        self._left = requests
        self._load = {load.tenant: round(load.part * requests) for load in LOADS}
        self._beats = deque(self._machines)
        self.result = Result()

    def run(self, horizon: float) -> Result:
        """Until everything has ended; `horizon` is over how many seconds paced requests are spread."""
        now = 0.0
        self._beat(list(self._machines), now)
        self._ask(now, first=True, horizon=horizon)
        while any(self._load.values()) or self._steps:
            self._end(now)
            self._ask(now, first=False, horizon=horizon)
            self._beat(self._due(), now)
            self._match(now)
            if round(now / TURN) % 20 == 0:
                self._sample(now)
            now += TURN
        self.result.simulated = now
        return self.result

    def _ask(self, now: float, *, first: bool, horizon: float) -> None:
        asked = []
        for load in LOADS:
            left = self._load[load.tenant]
            if not left or (not first and not load.paced):
                continue
            total = max(1, round(load.part * self._left))
            count = (
                left
                if not load.paced
                else min(left, max(1, int(total * TURN / horizon + self._draw.random())))
            )
            if load.paced and first:
                continue
            self._load[load.tenant] -= count
            asked += [self._request(load, now) for _ in range(count)]
        self._draw.shuffle(asked)
        for chunk in _chunks(asked, 1000):
            self._tell(
                step_pb2.StepRequests(pool="default", partition=0, epoch=1, requests=chunk), now
            )

    def _request(self, load: Load, now: float) -> step_pb2.StepRequest:
        path = f"each[{len(self._steps)}-{self.result.decisions}]/s"
        bundle = f"sha256:{load.tenant}-{self._draw.randrange(load.bundles)}"
        seconds = load.mean * self._draw.uniform(0.5, 1.5)
        self._steps[path] = Step(load=load, asked=now, seconds=seconds, bundle=bundle)
        tenant = load.tenant if self._fair else ALL
        asked = request(path, load, bundle, tenant=tenant)
        if self._successors:
            carrier = step_pb2.StepRequest()
            for number in range(self._successors):
                following = request(f"{path}-{number}", load, bundle, tenant=tenant)
                carrier.successors.add(request=following)
            asked.chain, asked.chain_alike = carrier.SerializeToString(), True
        return asked

    def _tell(self, record: step_pb2.StepRequests, now: float) -> None:
        began = time.process_time()
        self.matcher.requests(record, now)
        self.result.matcher_seconds += time.process_time() - began

    def _end(self, now: float) -> None:
        ended = []
        while self._ends and self._ends[0][0] <= now:
            _, path = heapq.heappop(self._ends)
            step = self._steps.pop(path)
            machine = step.machine
            assert machine is not None
            ended.append(step_pb2.StepEnded(key=machine.running.pop(path)))
            machine.free_slots += step.load.slots
            self._start_queued(machine, now)
        if ended:
            self._tell(
                step_pb2.StepRequests(pool="default", partition=0, epoch=1, ended=ended), now
            )

    def _match(self, now: float) -> None:
        began = time.process_time()
        effects = self.matcher.tick(now)
        self.result.matcher_seconds += time.process_time() - began
        for effect in effects:
            if isinstance(effect, Release):
                machine = self._machines[effect.incarnation]
                for data in effect.requests:
                    self.result.decisions += 1
                    key = step_pb2.StepRequest.FromString(data).key
                    machine.queued[key.path] = (key, self._steps[key.path].load.slots)
                self._start_queued(machine, now)
            elif isinstance(effect, Withdraw):
                self.result.withdrawals += 1

    def _start_queued(self, machine: Machine, now: float) -> None:
        for path, (key, slots) in list(machine.queued.items()):
            if slots > machine.free_slots:
                return
            del machine.queued[path]
            machine.free_slots -= slots
            machine.running[path] = key
            step = self._steps[path]
            step.machine = machine
            self.result.waits[step.load.tenant].append(now - step.asked)
            heapq.heappush(self._ends, (now + step.seconds, path))
            if step.bundle not in machine.bundles:
                machine.bundles.append(step.bundle)

    def _due(self) -> Iterator[str]:
        """Runners say hello every 2 s, evenly spread."""
        for _ in range(round(len(self._machines) * TURN / HEARTBEAT)):
            self._beats.rotate(-1)
            yield self._beats[0]

    def _beat(self, names: Iterable[str], now: float) -> None:
        for name in names:
            heartbeat = self._machines[name].heartbeat(now)
            began = time.process_time()
            self.matcher.heartbeat(heartbeat, now)
            self.result.heartbeat_seconds += time.process_time() - began
            self.result.heartbeats += 1

    def _sample(self, now: float) -> None:
        view = self.matcher.view(Moment(now=now, now_us=int(now * 1e6)))
        if not self._fair:
            self._sample_control(view)
            return
        shares = {
            each.tenant: each.dominant_share / each.weight
            for each in view.tenants
            if each.waiting > _BACKLOG
        }
        if len(shares) >= 3 and now > 2.0:
            for tenant, share in shares.items():
                self.result.shares[tenant].append(share)

    def _sample_control(self, view: runner_pb2.Pool) -> None:
        """What each real tenant holds, though the matcher sees only one."""
        held: dict[str, int] = defaultdict(int)
        for machine in self._machines.values():
            for path in machine.running:
                load = self._steps[path].load
                held[load.tenant] += load.slots
        for load in LOADS:
            if not load.paced and held[load.tenant] and view.waiting > _BACKLOG:
                self.result.shares[load.tenant].append(
                    held[load.tenant] / view.capacity.slots / load.weight
                )


def request(path: str, load: Load, bundle: str, *, tenant: str) -> step_pb2.StepRequest:
    """A request as an engine makes it for a Python step."""
    return step_pb2.StepRequest(
        key=step_pb2.StepKey(
            run_id="01hf7yat00actnmpad8h4e6qww", path=path, attempt=1, generation=1
        ),
        epoch=1,
        pool="default",
        priority=load.priority,
        labels=[*load.labels],
        resources=definition_pb2.Resources(
            slots=load.slots, memory_bytes=load.memory, gpu=load.gpu
        ),
        ready_time_us=1_700_000_000_000_000,
        spec=step_pb2.StepSpec(
            type="python",
            workflow="benchmark",
            tenant=tenant,
            inputs_json={"item": f'{{"number":{len(path)}}}'},
            outputs={"out": definition_pb2.VALUE_TYPE_ANY},
            config_json='{"function":"benchmark:step"}',
            code_bundle=bundle,
        ),
    )


def bytes_per_waiting(count: int) -> float:
    """Bytes that the matcher keeps for one waiting request of a large foreach."""
    matcher = PoolMatcher(pool="default", epoch=1, run_partitions=8, now=0.0)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for start in range(0, count, 500):
        asked = [
            request(f"each[{number}]/s", LOADS[0], "sha256:" + "0" * 64, tenant="default")
            for number in range(start, start + 500)
        ]
        matcher.requests(
            step_pb2.StepRequests(pool="default", partition=0, epoch=1, requests=asked), 1.0
        )
        del asked
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert matcher.waiting == count
    return (after - before) / count


def jain(values: list[float]) -> float:
    """Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    return (
        sum(values) ** 2 / (len(values) * sum(value * value for value in values))
        if any(values)
        else 1.0
    )


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def _tenants() -> Tenants:
    return tenants_from({"tenants": {load.tenant: {"weight": load.weight} for load in LOADS}})


def _chunks(asked: list[step_pb2.StepRequest], size: int) -> Iterator[list[step_pb2.StepRequest]]:
    return (asked[start : start + size] for start in range(0, len(asked), size))


def report(name: str, result: Result) -> dict[str, object]:
    """Prints what was measured, and returns it."""
    means = {tenant: sum(values) / len(values) for tenant, values in sorted(result.shares.items())}
    figures: dict[str, object] = {
        "policy": name,
        "decisions": result.decisions,
        "decisions_per_second": round(result.decisions / result.matcher_seconds),
        "decisions_per_second_with_heartbeats": round(
            result.decisions / (result.matcher_seconds + result.heartbeat_seconds)
        ),
        "microseconds_per_decision": round(result.matcher_seconds / result.decisions * 1e6, 1),
        "microseconds_per_heartbeat": round(result.heartbeat_seconds / result.heartbeats * 1e6, 1),
        "simulated_seconds": round(result.simulated, 1),
        "jain": round(jain(list(means.values())), 4),
        "shares": {tenant: round(share, 4) for tenant, share in means.items()},
        "waits": {
            tenant: {f"p{part}": round(percentile(waits, part / 100), 2) for part in (50, 90, 99)}
            for tenant, waits in sorted(result.waits.items())
        },
    }
    print(f"\n{name}")
    for key, value in figures.items():
        if not isinstance(value, dict):
            print(f"  {key:38} {value}")
    print(f"  {'tenant':14}{'share/weight':>14}{'wait p50':>12}{'p90':>10}{'p99':>10}  (seconds)")
    for tenant, waits in sorted(result.waits.items()):
        share = f"{means[tenant]:.4f}" if tenant in means else "-"
        cells = "".join(f"{percentile(waits, part):>10.2f}" for part in (0.5, 0.9, 0.99))
        print(f"  {tenant:14}{share:>14}  {cells}")
    return figures


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runners", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--successors", type=int, default=0, help="that each request offers")
    parser.add_argument("--json", help="append the figures to this file, one object a line")
    given = parser.parse_args()
    # As a coordinator does.
    collect_seldom()
    # Paced requests come over so long: about three quarters of what the whole takes.
    horizon = given.requests * 8.0 / (given.runners * 5.3) * 0.75
    print(
        f"{given.runners} runners, {given.requests} requests; a waiting request costs {bytes_per_waiting(100_000):.0f} bytes"
    )
    lines = []
    for name, fair in (("dominant resource fairness", True), ("first come, first served", False)):
        gc.collect()
        result = Cluster(
            runners=given.runners, requests=given.requests, fair=fair, successors=given.successors
        ).run(horizon)
        lines.append(report(name, result))
    if given.json:
        with open(given.json, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
