"""The review of chains compares only what has changed, and finds what a comparison of all with all would find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from kaon_coordinator.matching import chains
from kaon_coordinator.matching.chain_book import kind_of
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Ticket
from kaonapi.step.v1 import step_pb2

from .test_properties import Storm
from .world import Host, Pool, key, offer, request

_outranked = chains._outranked


def _all_compared(state: PoolState, rivals: Any, told: list[Ticket]) -> Iterator[Ticket]:
    """Yield the chains that must end, each found by comparing it with everybody above it."""
    going_on = [ticket for _, alike in state.chains.kinds() for ticket in alike.chains]
    for ticket in dict.fromkeys((*going_on, *told)):
        runner = state.fleet.get(ticket.incarnation)
        if runner is None:
            continue
        kept = runner.reserved is not None and runner.reserved is not ticket
        above = rivals.above(kind_of(ticket)).values()
        if kept or chains._could_start(runner, ticket.lane.need, above):
            yield ticket


def _checked(state: PoolState, rivals: Any, now: float) -> list[Ticket]:
    told = state.chains.told(now - chains._REPEAT)
    found = _outranked(state, rivals, now)
    assert set(found) == set(_all_compared(state, rivals, told))
    return found


class ChainStorm(Storm):
    """Steps lead chains, and runners change what they have, beside everything that happens in a storm."""

    def __init__(self) -> None:
        super().__init__()
        chains._outranked = _checked

    @rule(
        count=st.integers(1, 4),
        tenant=st.sampled_from("abc"),
        slots=st.integers(0, 3),
        memory=st.integers(0, 2),
        labels=st.sampled_from([(), ("kind=x",), ("kind!=x",)]),
        priority=st.integers(0, 1),
    )
    def ask_for_chains(
        self,
        count: int,
        tenant: str,
        slots: int,
        memory: int,
        labels: tuple[str, ...],
        priority: int,
    ) -> None:
        asked = []
        for number in range(self.asked, self.asked + count):
            leader = request(
                f"s{number}",
                tenant=tenant,
                slots=slots,
                memory=memory,
                labels=labels,
                priority=priority,
            )
            offer(leader, request(f"s{number}-next", tenant=tenant, labels=labels))
            asked.append(leader)
        self.asked += count
        self.pool.ask(*asked)

    @rule(
        runner=st.sampled_from(["r0", "r1", "r2"]),
        slots=st.integers(1, 4),
        memory=st.integers(0, 4),
        kind=st.sampled_from("xy"),
    )
    def change(self, runner: str, slots: int, memory: int, kind: str) -> None:
        """A runner says that it has other labels and another capacity."""
        host = self.pool.hosts[runner]
        host.slots, host.memory, host.labels = slots, memory, {"kind": kind}
        self.pool.beat()

    def teardown(self) -> None:
        """Afterwards the runners can take whatever was asked for."""
        try:
            for host, kind in zip(self.pool.hosts.values(), "xyx", strict=True):
                host.slots, host.memory, host.labels = 4, 4, {"kind": kind}
            super().teardown()
        finally:
            chains._outranked = _outranked


ChainStorm.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestChainStorm = ChainStorm.TestCase


def _leading(path: str, tenant: str) -> step_pb2.StepRequest:
    leader = request(path, tenant=tenant)
    offer(leader, request(f"{path}-next", tenant=tenant), alike=True)
    return leader


def test_chains_with_no_room_for_those_who_wait_are_compared_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts = [Host(f"r{number}", slots=1) for number in range(50)]
    pool = Pool(*hosts, Host("large", slots=4))
    pool.ask(*(_leading(f"a{number}", "x") for number in range(50)))
    pool.ask(*(request(f"x{number}", tenant="x", slots=4) for number in range(2)))
    looked: list[str] = []
    could_start = chains._could_start

    def look(runner: RunnerState, *rest: Any) -> bool:
        looked.append(runner.incarnation)
        return could_start(runner, *rest)

    monkeypatch.setattr(chains, "_could_start", look)
    pool.ask(request("large1", tenant="y", slots=4))
    assert len(looked) >= 50
    looked.clear()
    for number in range(20):
        pool.ask(request(f"large-again{number}", tenant="y", slots=4))
    assert looked == []


def test_a_chain_is_compared_again_when_its_runner_gets_other_labels() -> None:
    pool = Pool(Host("r1", slots=1, labels={"kind": "x"}), Host("r2", slots=1))
    pool.ask(_leading("a", "x"), _leading("b", "x"))
    pool.ask(request("y", tenant="y", labels=("kind=y",)))
    assert [effect for effect in pool.effects if isinstance(effect, chains.EndChain)] == []
    pool.hosts["r1"].labels = {"kind": "y"}
    pool.beat()
    (ended,) = [effect for effect in pool.effects if isinstance(effect, chains.EndChain)]
    assert ended.incarnation == "r1"
    assert ended.key == key(ended.key.path)
