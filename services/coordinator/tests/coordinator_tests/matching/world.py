"""A pool with a clock of its own: engines, runners and a matcher without any network between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from kaon_coordinator.matching.match_effects import Effect, Release, Withdraw
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.matching.matcher_settings import DEFAULT, MatcherSettings
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

# The runners' clocks are not the matcher's.
SKEW_US = 1_700_000_000_000_000


def key(path: str, generation: int = 1, run: str = "run-1") -> step_pb2.StepKey:
    """An issue of a step."""
    return step_pb2.StepKey(run_id=run, path=path, attempt=1, generation=generation)


def request(
    path: str,
    *,
    generation: int = 1,
    tenant: str = "default",
    priority: int = 0,
    labels: tuple[str, ...] = (),
    slots: int = 0,
    memory: int = 0,
    bundle: str = "",
    partition: int = 0,
    cpu: int = 0,
    gpu: int = 0,
    custom: dict[str, int] | None = None,
) -> step_pb2.StepRequest:
    """A READY step asks for a runner."""
    return step_pb2.StepRequest(
        key=key(path, generation),
        partition=partition,
        epoch=1,
        pool="default",
        priority=priority,
        labels=labels,
        resources=definition_pb2.Resources(
            slots=slots, cpu_milli=cpu, memory_bytes=memory, gpu=gpu, custom=custom
        ),
        spec=step_pb2.StepSpec(type="python", tenant=tenant, code_bundle=bundle),
    )


def offer(
    message: step_pb2.StepRequest | step_pb2.StepHeld,
    *following: step_pb2.StepRequest,
    alike: bool = False,
) -> None:
    """An engine offers the steps that may follow another one; `alike` tells that they ask for the same."""
    is_held = isinstance(message, step_pb2.StepHeld)
    carrier = step_pb2.ChainExtension() if is_held else step_pb2.StepRequest()
    carrier.successors.extend(step_pb2.Successor(request=each) for each in following)
    message.chain, message.chain_alike = carrier.SerializeToString(), alike


@dataclass
class Host:
    """A runner that does what it is told; tests start and end its steps."""

    incarnation: str
    slots: int = 2
    memory: int = 0
    cpu: int = 0
    gpu: int = 0
    custom: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    warm: tuple[str, ...] = ()
    recent_us: int = 0
    runner_id: str = ""
    running: dict[str, int] = field(default_factory=dict)
    queued: dict[str, int] = field(default_factory=dict)
    draining: bool = False
    sequence: int = 0
    # Steps whose environment it builds, with the requirements file.
    building: dict[str, str] = field(default_factory=dict)

    def heartbeat(self, now: float, *, leaving: bool = False) -> runner_pb2.RunnerHeartbeat:
        """What it says now."""
        self.sequence += 1
        return runner_pb2.RunnerHeartbeat(
            pool="default",
            runner_id=self.runner_id or self.incarnation,
            incarnation=self.incarnation,
            sequence=self.sequence,
            capacity=definition_pb2.Resources(
                slots=self.slots,
                cpu_milli=self.cpu,
                memory_bytes=self.memory,
                gpu=self.gpu,
                custom=self.custom,
            ),
            labels=self.labels,
            running=[key(path, generation) for path, generation in self.running.items()],
            queued=[key(path, generation) for path, generation in self.queued.items()],
            warm_bundles=self.warm,
            draining=self.draining,
            leaving=leaving,
            time_us=SKEW_US + int(now * 1e6),
            recent_step_us=self.recent_us,
            building=[
                runner_pb2.EnvironmentBuild(key=key(path, 1), requirements_file=file)
                for path, file in self.building.items()
            ],
        )


class Pool:
    """The matcher under test and everything around it."""

    def __init__(
        self,
        *hosts: Host,
        epoch: int = 1,
        settings: MatcherSettings = DEFAULT,
        tenants: Tenants = NO_LIMITS,
    ) -> None:
        self.now = 100.0
        self.matcher = PoolMatcher(
            pool="default",
            epoch=epoch,
            run_partitions=2,
            now=self.now,
            settings=settings,
            tenants=tenants,
        )
        self.hosts = {host.incarnation: host for host in hosts}
        self.silent: set[str] = set()
        # (incarnation, path, generation), in the order of the releases.
        self.released: list[tuple[str, str, int]] = []
        self.withdrawn: list[tuple[str, str]] = []
        self.effects: list[Effect] = []
        # Releases to these runners get lost.
        self.deaf: set[str] = set()
        self.beat()

    def ask(
        self, *requests: step_pb2.StepRequest, epoch: int = 1, answers: int = 0, partition: int = 0
    ) -> None:
        """An engine asks."""
        record = step_pb2.StepRequests(
            pool="default",
            partition=partition,
            epoch=epoch,
            requests=requests,
            answers_pool_epoch=answers,
        )
        self.matcher.requests(record, self.now)
        self.tick()

    def end(self, path: str, generation: int = 1) -> None:
        """A step has ended: its runner forgets it, its engine says so."""
        for host in self.hosts.values():
            if host.running.get(path) == generation:
                del host.running[path]
            if host.queued.get(path) == generation:
                del host.queued[path]
        ended = step_pb2.StepEnded(key=key(path, generation))
        self.matcher.requests(
            step_pb2.StepRequests(pool="default", partition=0, epoch=1, ended=[ended]), self.now
        )
        self.tick()

    def tick(self) -> None:
        """Lets the matcher match, and delivers what it says."""
        for effect in self.matcher.tick(self.now):
            self.effects.append(effect)
            if isinstance(effect, Release):
                self._deliver(effect)
            elif isinstance(effect, Withdraw):
                self.withdrawn.append((effect.incarnation, effect.key.path))

    def beat(self) -> None:
        """Every runner that is not silent says what it has."""
        for host in self.hosts.values():
            if host.incarnation not in self.silent:
                self.matcher.heartbeat(host.heartbeat(self.now), self.now)
        self.tick()

    def wait(self, seconds: float) -> None:
        """Time passes: ticks every 0.1 s, heartbeats every 2 s."""
        for step in itertools.count(1):
            if step > round(seconds * 10):
                return
            self.now = round(self.now + 0.1, 3)
            if round(self.now * 10) % 20 == 0:
                self.beat()
            else:
                self.tick()

    def start(self, *paths: str) -> None:
        """Runners begin to execute what they have queued."""
        for host in self.hosts.values():
            for path in paths:
                if path in host.queued:
                    host.running[path] = host.queued.pop(path)

    def where(self, path: str) -> list[str]:
        """The runners to which a step was released, in order."""
        return [incarnation for incarnation, released, _ in self.released if released == path]

    @property
    def moment(self) -> Moment:
        """Now, by both clocks."""
        return Moment(now=self.now, now_us=SKEW_US + int(self.now * 1e6))

    def reasons(self, path: str, run: str = "run-1") -> list[runner_pb2.WaitReason]:
        """Why a step waits."""
        return self.matcher.explain(run, path, self.moment)

    def why(self, path: str) -> str:
        """Why a step waits, in words."""
        return " ".join(reason.text for reason in self.reasons(path))

    def runners(self) -> dict[str, runner_pb2.Runner]:
        """The runners that the matcher knows, by incarnation."""
        return {runner.incarnation: runner for runner in self.matcher.runners(self.moment)}

    def view(self) -> runner_pb2.Pool:
        """What the pool has and lacks."""
        return self.matcher.view(self.moment)

    def _deliver(self, release: Release) -> None:
        for data in release.requests:
            asked = step_pb2.StepRequest.FromString(data)
            self.released.append((release.incarnation, asked.key.path, asked.key.generation))
            if release.incarnation not in self.deaf:
                self.hosts[release.incarnation].queued[asked.key.path] = asked.key.generation
