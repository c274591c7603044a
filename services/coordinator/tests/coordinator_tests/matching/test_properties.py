"""What holds for a matcher whatever happens."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from .world import Host, Pool, request


class Storm(RuleBasedStateMachine):
    """Engines ask, runners start and end steps, fall silent and come back, and records get lost, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(Host("r0", slots=4), Host("r1", slots=2), Host("r2", slots=1, recent_us=500))
        self.asked = 0
        self.done: set[str] = set()
        self.checked = 0

    @rule(
        count=st.integers(1, 6),
        tenant=st.sampled_from("ab"),
        slots=st.integers(0, 4),
        priority=st.integers(0, 1),
    )
    def ask(self, count: int, tenant: str, slots: int, priority: int) -> None:
        asked = [
            request(f"s{self.asked + n}", tenant=tenant, slots=slots, priority=priority) for n in range(count)
        ]
        self.asked += count
        self.pool.ask(*asked, *asked[:1])

    @precondition(lambda self: self.asked > len(self.done))
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """What an engine does when it is not sure."""
        known = sorted({f"s{n}" for n in range(self.asked)} - self.done)
        self.pool.ask(request(data.draw(st.sampled_from(known))))

    @rule(runner=st.sampled_from(["r0", "r1", "r2"]))
    def start(self, runner: str) -> None:
        host = self.pool.hosts[runner]
        if runner not in self.pool.silent and host.queued:
            path = next(iter(host.queued))
            host.running[path] = host.queued.pop(path)

    @rule(runner=st.sampled_from(["r0", "r1", "r2"]))
    def end(self, runner: str) -> None:
        host = self.pool.hosts[runner]
        if runner not in self.pool.silent and host.running:
            self.finish(next(iter(host.running)))

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 6.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.pool.wait(seconds)

    @rule(runner=st.sampled_from(["r1", "r2"]))
    def fall_silent(self, runner: str) -> None:
        self.pool.silent.add(runner)
        self.pool.deaf.add(runner)

    @precondition(lambda self: self.pool.silent)
    @rule()
    def come_back(self) -> None:
        """In a new life: what the old one had is gone."""
        runner = self.pool.silent.pop()
        self.pool.deaf.discard(runner)
        host = self.pool.hosts[runner]
        host.queued.clear()
        host.running.clear()
        self.pool.beat()

    @invariant()
    def no_release_while_another_runner_has_it_and_is_heard(self) -> None:
        holders = Counter(
            path
            for host in self.pool.hosts.values()
            if host.incarnation not in self.pool.silent
            for path in (*host.queued, *host.running)
        )
        assert all(count == 1 for count in holders.values()), holders

    @invariant()
    def nothing_is_released_after_its_end(self) -> None:
        fresh = self.pool.released[self.checked :]
        self.checked = len(self.pool.released)
        assert not {path for _, path, _ in fresh} & self.done

    def teardown(self) -> None:
        """When the storm is over, everything that was asked for is released and ends."""
        self.pool.silent.clear()
        self.pool.deaf.clear()
        for _ in range(40 + self.asked):
            for host in self.pool.hosts.values():
                self.pool.start(*tuple(host.queued))
            for host in self.pool.hosts.values():
                for path in tuple(host.running):
                    self.finish(path)
            self.pool.wait(3.0)
            self.resend()
            if len(self.done) == self.asked:
                return
        missing = {f"s{n}" for n in range(self.asked)} - self.done
        raise AssertionError({path: self.pool.why(path) for path in missing})

    def finish(self, path: str) -> None:
        self.done.add(path)
        self.pool.end(path)

    def resend(self) -> None:
        """What an engine does when a pool report lacks some of its requests, or when a lease has ended."""
        for number in range(self.asked):
            path = f"s{number}"
            if path not in self.done and "has no request" in self.pool.why(path):
                self.pool.ask(request(path))


Storm.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStorm = Storm.TestCase


@given(first=st.integers(1, 60), second=st.integers(20, 60), slots=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_two_tenants_get_the_same_share_whoever_came_first(first: int, second: int, slots: int) -> None:
    pool = Pool(Host("r1", slots=slots, recent_us=10**9))
    pool.ask(*(request(f"a{n}", tenant="a") for n in range(first + slots)))
    pool.ask(*(request(f"b{n}", tenant="b") for n in range(second + slots)))
    running = [path for _, path, _ in pool.released]

    # Until both have had the time to reach their share, and as long as both still ask.
    for turn in range(min(first, second)):
        pool.now += 1000.0 / slots
        pool.beat()
        pool.end(running.pop(0))
        running += [path for _, path, _ in pool.released[slots + turn :]]
        if turn >= slots:
            shares = Counter(path[0] for path in running)
            assert abs(shares["a"] - shares["b"]) <= 1


@given(flood=st.integers(50, 200), slots=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_under_the_flood_of_another_tenant_a_step_starts_as_soon_as_a_slot_is_free(
    flood: int, slots: int
) -> None:
    pool = Pool(Host("r1", slots=slots, recent_us=10**9))
    pool.ask(*(request(f"a{n}", tenant="a") for n in range(flood)))
    oldest = pool.released[0][1]

    pool.ask(request("b", tenant="b"))
    pool.end(oldest)

    assert pool.where("b") == ["r1"]


@given(data=st.data(), count=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_a_runner_is_never_asked_for_more_than_its_depth(
    data: st.DataObject, count: int
) -> None:
    memory = 1000
    host = Host("r1", slots=4, memory=memory, recent_us=data.draw(st.sampled_from([0, 100, 10**6])))
    pool = Pool(host)
    asked = [
        request(f"s{n}", slots=data.draw(st.integers(0, 5)), memory=data.draw(st.integers(0, 1200)))
        for n in range(count)
    ]

    pool.ask(*asked)

    released = [asked[int(path[1:])].resources for _, path, _ in pool.released]
    assert sum(resources.slots or 1 for resources in released) <= 8 * host.slots
    assert sum(resources.memory_bytes for resources in released) <= 8 * memory
    assert all(resources.slots <= 4 and resources.memory_bytes <= memory for resources in released)
