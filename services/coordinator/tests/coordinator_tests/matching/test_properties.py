"""What holds for a matcher whatever happens."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kaon_coordinator.matching.matcher_settings import DEFAULT
from kaon_coordinator.matching.tenants import Entitlement, Tenants

from .world import Host, Pool, request


class Storm(RuleBasedStateMachine):
    """Engines ask, runners start and end steps, fall silent and come back, and records get lost, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(
            Host("r0", slots=4), Host("r1", slots=2), Host("r2", slots=1, recent_us=500)
        )
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
            request(f"s{self.asked + n}", tenant=tenant, slots=slots, priority=priority)
            for n in range(count)
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
def test_two_tenants_get_the_same_share_whoever_came_first(
    first: int, second: int, slots: int
) -> None:
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
    assert sum(resources.slots or 1 for resources in released) <= DEFAULT.depth * host.slots
    assert sum(resources.memory_bytes for resources in released) <= DEFAULT.depth * memory
    assert all(resources.slots <= 4 and resources.memory_bytes <= memory for resources in released)


# Machines and wishes in the small: (slots, memory, label), (slots, memory, label, tenant, priority).
MACHINES = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 8), st.sampled_from("xy")), min_size=1, max_size=5
)
WISHES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 8),
        st.sampled_from(["", "kind=x", "kind!=x", "kind in (x, y)", "other"]),
        st.sampled_from("abc"),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=40,
)


def cluster(
    machines: list[tuple[int, int, str]], wishes: list[tuple[int, int, str, str, int]]
) -> Pool:
    """A pool of long steps that was asked for all wishes at once."""
    hosts = [
        Host(f"r{n}", slots=slots, memory=memory, labels={"kind": kind}, recent_us=10**9)
        for n, (slots, memory, kind) in enumerate(machines)
    ]
    pool = Pool(*hosts)
    pool.ask(
        *(
            request(
                f"s{n}",
                slots=slots,
                memory=memory,
                labels=(label,) if label else (),
                tenant=tenant,
                priority=priority,
            )
            for n, (slots, memory, label, tenant, priority) in enumerate(wishes)
        )
    )
    return pool


@given(machines=MACHINES, wishes=WISHES)
@settings(max_examples=150, deadline=None)
def test_nothing_is_placed_beyond_a_capacity_or_against_a_label_and_nothing_that_fits_is_left(
    machines: list[tuple[int, int, str]], wishes: list[tuple[int, int, str, str, int]]
) -> None:
    pool = cluster(machines, wishes)

    left = [[slots, memory, kind] for slots, memory, kind in machines]
    for incarnation, path, _ in pool.released:
        slots, memory, label, _, _ = wishes[int(path[1:])]
        machine = left[int(incarnation[1:])]
        assert _admits(label, str(machine[2]))
        machine[0] -= slots  # type: ignore[operator]
        machine[1] -= memory  # type: ignore[operator]
    assert all(slots >= 0 and memory >= 0 for slots, memory, _ in left)  # type: ignore[operator]
    placed = {path for _, path, _ in pool.released}
    assert len(placed) == len(pool.released)
    for number, (slots, memory, label, _, _) in enumerate(wishes):
        if f"s{number}" not in placed:
            # Memory that a step does not ask for does not matter.
            assert not any(
                slots <= free[0]
                and (not memory or memory <= free[1])
                and _admits(label, str(free[2]))  # type: ignore[operator]
                for free in left
            )
            assert pool.reasons(f"s{number}")


def _admits(label: str, kind: str) -> bool:
    return {
        "": True,
        "kind=x": kind == "x",
        "kind!=x": kind != "x",
        "kind in (x, y)": True,
        "other": False,
    }[label]


@given(machines=MACHINES, wishes=WISHES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_request_that_some_runner_could_take_is_released_whatever_else_comes(
    machines: list[tuple[int, int, str]],
    wishes: list[tuple[int, int, str, str, int]],
    data: st.DataObject,
) -> None:
    """Also large ones, and those of low priority, while small urgent ones keep coming."""
    pool = cluster(machines, wishes)
    possible = {
        f"s{number}"
        for number, (slots, memory, label, _, _) in enumerate(wishes)
        if any(
            slots <= machine[0]
            and (not memory or memory <= machine[1])
            and _admits(label, machine[2])
            for machine in machines
        )
    }
    for number in range(400):
        pool.ask(request(f"urgent-{number}", tenant=data.draw(st.sampled_from("abd")), priority=2))
        pool.wait(2.0)
        running = [path for host in pool.hosts.values() for path in host.queued]
        if running:
            pool.end(running[number % len(running)])
            if number % 2:
                pool.end(running[0])
        if possible <= {path for _, path, _ in pool.released}:
            break

    missing = possible - {path for _, path, _ in pool.released}
    assert not missing, {path: pool.why(path) for path in missing}


@given(
    weights=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    slots=st.integers(6, 24),
    needs=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 2)),
)
@settings(max_examples=80, deadline=None)
def test_no_tenant_is_ahead_of_another_that_still_waits_by_more_than_one_step(
    weights: tuple[int, int, int], slots: int, needs: tuple[int, int, int]
) -> None:
    """The bound of progressive filling with indivisible steps."""
    named = {
        tenant: Entitlement(weight=float(weight))
        for tenant, weight in zip("abc", weights, strict=True)
    }
    pool = Pool(Host("r1", slots=slots, recent_us=10**9), tenants=Tenants(named=named))
    pool.ask(
        *(
            request(f"{tenant}{n}", tenant=tenant, slots=need)
            for n in range(slots)
            for tenant, need in zip("abc", needs, strict=True)
        )
    )

    held = Counter(path[0] for _, path, _ in pool.released)
    sizes = dict(zip("abc", needs, strict=True))
    ranks = {tenant: held[tenant] * sizes[tenant] / named[tenant].weight for tenant in "abc"}
    for one in "abc":
        for other in "abc":
            # The last step of `one` was placed when it was not ahead, unless nothing of the other fitted any more.
            before = ranks[one] - sizes[one] / named[one].weight
            assert before <= ranks[other] + 1e-9 or sizes[other] > sizes[one]
