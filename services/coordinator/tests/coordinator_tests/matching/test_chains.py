"""Successors: which of them a release carries, and who ends a chain that its runner has begun."""

from __future__ import annotations

from typing import Any

import pytest

from kaon_coordinator.matching import chains
from kaon_coordinator.matching.match_effects import EndChain, Extend, Release
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_wire.lease_tokens import LeaseClaim, LeaseKeys
from kaonapi.step.v1 import step_pb2

from .world import Host, Pool, key, offer, request


def _leading(
    path: str, *followers: step_pb2.StepRequest, alike: bool = False, **rest: object
) -> step_pb2.StepRequest:
    leader = request(path, **rest)  # type: ignore[arg-type]
    offer(leader, *followers, alike=alike)
    return leader


def _allowed(pool: Pool, path: str, proofs: LeaseProofs | None = None) -> list[str]:
    """The successors that went with the newest release of a step."""
    return [each.request.key.path for each in _released(pool, path, proofs).successors]


def _released(pool: Pool, path: str, proofs: LeaseProofs | None = None) -> step_pb2.StepRequest:
    for effect in reversed(pool.effects):
        if isinstance(effect, Release):
            for data in (proofs or LeaseProofs()).released(effect):
                released = step_pb2.StepRequest.FromString(data)
                if released.key.path == path:
                    assert not released.chain
                    return released
    raise AssertionError(f"{path} was not released")


def _ended(pool: Pool) -> list[str]:
    return [effect.key.path for effect in pool.effects if isinstance(effect, EndChain)]


@pytest.mark.parametrize("alike", [True, False])
def test_a_release_carries_the_successors_for_which_nobody_waits(alike: bool) -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), request("c"), alike=alike))
    assert _allowed(pool, "a") == ["b", "c"]


def test_successors_that_ask_for_the_same_are_passed_on_unread() -> None:
    pool = Pool(Host("r1", slots=1))
    leader = request("a")
    leader.chain, leader.chain_alike = b"unread", True
    pool.ask(leader)
    (released,) = [effect for effect in pool.effects if isinstance(effect, Release)]
    assert [ticket.allowed for ticket in released.tickets] == [b"unread"]


def test_a_chain_that_cannot_be_read_drops_its_own_step_only() -> None:
    pool = Pool(Host("r1", slots=2))
    unread = request("a")
    unread.chain = b"unread"
    pool.ask(unread, request("b"))
    assert [trouble.path for trouble in pool.matcher.take_troubles()] == ["a"]
    assert (pool.where("a"), pool.where("b")) == ([], ["r1"])


def test_a_successor_that_needs_more_or_other_labels_ends_the_chain() -> None:
    pool = Pool(Host("r1", slots=2, labels={"spark": "4"}))
    larger, after = request("larger", slots=2), request("after")
    spark, other = request("spark", labels=("spark=4",)), request("other", labels=("r",))
    pool.ask(_leading("a", request("b"), larger, after), _leading("x", spark, other))
    assert _allowed(pool, "a") == ["b"]
    assert _allowed(pool, "x") == ["spark"]


@pytest.mark.parametrize("alike", [True, False])
def test_each_successor_has_a_token_of_its_own(alike: bool) -> None:
    keys = LeaseKeys((b"k" * 32,))
    pool = Pool(Host("r1"))
    pool.ask(_leading("a", request("b", generation=1), alike=alike))
    released = _released(pool, "a", LeaseProofs(lambda: keys))
    for each in (released.key, released.successors[0].request.key):
        claim = LeaseClaim(
            tenant="default",
            run_id=each.run_id,
            path=each.path,
            attempt=1,
            generation=1,
            incarnation="r1",
        )
        assert keys.verify(claim, each.lease_token)


def test_another_tenant_that_waits_takes_the_successors_away() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), tenant="x"), request("y", tenant="y"))
    assert _allowed(pool, "a") == []


def test_own_steps_that_wait_do_not_unless_they_are_more_urgent() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b")), request("later"))
    assert _allowed(pool, "a") == ["b"]
    pool.ask(request("urgent", priority=1))
    assert _ended(pool) == ["a"]


def test_a_chain_ends_when_another_tenant_comes_later() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), tenant="x"))
    pool.ask(request("y", tenant="y"))
    assert _ended(pool) == ["a"]
    pool.wait(1.0)
    assert _ended(pool) == ["a"], "once, until it may be lost"


def test_a_runner_is_told_again_while_its_chain_goes_on() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), tenant="x"))
    pool.start("a")
    pool.ask(request("y", tenant="y"))
    pool.wait(11.0)
    assert _ended(pool) == ["a"] * 3
    pool.end("a")
    pool.ask(request("z", tenant="x"))
    pool.wait(11.0)
    assert _ended(pool) == ["a"] * 3


def test_a_chain_ends_where_a_runner_is_kept_free_for_a_large_step() -> None:
    pool = Pool(Host("r1", slots=2))
    pool.ask(_leading("a", request("b")))
    pool.start("a")
    pool.ask(request("large", slots=2))
    pool.wait(0.5)
    pool.ask(request("small"))
    pool.start("small")
    assert _ended(pool) == []
    pool.wait(2.0)
    assert _ended(pool) == ["a"]


def test_chains_that_nobody_outranks_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [Host(f"r{number}", slots=1) for number in range(50)]
    looked: list[str] = []
    pool = Pool(*hosts)
    could_start = chains._could_start

    def look(runner: RunnerState, *rest: Any) -> bool:
        looked.append(runner.incarnation)
        return could_start(runner, *rest)

    pool.ask(*(_leading(f"a{number}", request(f"b{number}"), tenant="x") for number in range(50)))
    monkeypatch.setattr(chains, "_could_start", look)
    for number in range(20):
        pool.ask(request(f"later{number}", tenant="x"))
    assert looked == []
    pool.ask(request("y", tenant="y"))
    assert sorted(looked) == sorted(host.incarnation for host in hosts)
    pool.ask(request("y2", tenant="y"))
    assert len(looked) == 50, "nor those whose runner has just been told"


def test_without_chains_nobody_is_ranked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[float] = []
    rivals = chains._rivals
    monkeypatch.setattr(
        chains, "_rivals", lambda state, now: ranked.append(now) or rivals(state, now)
    )
    pool = Pool(Host("r1", slots=1))
    pool.ask(request("a", tenant="x"), request("later", tenant="y"))
    pool.ask(request("last", tenant="y"))
    assert ranked == []
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), tenant="x"), request("later", tenant="y"))
    assert len(ranked) == 1


def test_a_chain_goes_on_for_a_tenant_that_has_less() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=2))
    pool.ask(request("y1", tenant="y", slots=2))
    pool.ask(_leading("a", request("b"), tenant="x"))
    pool.ask(request("y2", tenant="y"))
    assert _ended(pool) == []


@pytest.mark.parametrize("leads", [True, False])
def test_a_step_that_began_by_succession_leads_on(leads: bool) -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(_leading("a", request("b"), request("c"), tenant="x"))
    # Not so short that further steps would wait at the runner.
    pool.start("a")
    pool.wait(3.0)
    held = step_pb2.StepHeld(key=key("b"), incarnation="r1", tenant="x", leads=leads)
    pool.matcher.requests(
        step_pb2.StepRequests(
            pool="default",
            epoch=1,
            ended=[step_pb2.StepEnded(key=key("a"))],
            held=[held],
        ),
        pool.now,
    )
    pool.tick()
    pool.ask(request("y", tenant="y"))
    assert _ended(pool) == (["b"] if leads else [])
    assert pool.where("y") == []
    pool.end("b")
    assert pool.where("y") == ["r1"]


def _begin_by_succession(pool: Pool, path: str, after: str, *offered: str, **rest: object) -> None:
    """An engine tells that a runner has begun a step by itself, and offers further ones."""
    held = step_pb2.StepHeld(key=key(path), incarnation="r1", tenant="x", leads=True, **rest)  # type: ignore[arg-type]
    offer(held, *(request(each) for each in offered))
    ended = [step_pb2.StepEnded(key=key(after))]
    record = step_pb2.StepRequests(pool="default", epoch=1, ended=ended, held=[held])
    pool.matcher.requests(record, pool.now)
    pool.tick()


def _extended(pool: Pool, proofs: LeaseProofs | None = None) -> list[step_pb2.ChainExtension]:
    found = [effect for effect in pool.effects if isinstance(effect, Extend)]
    parsed = [(proofs or LeaseProofs()).extended(effect) for effect in found]
    return [step_pb2.ChainExtension.FromString(data) for data in parsed]


def _running(*hosts: Host) -> Pool:
    """A pool whose runner r1 executes the first step of a chain, which takes a while."""
    pool = Pool(*(hosts or (Host("r1", slots=1),)))
    pool.ask(_leading("a", request("b"), request("c"), tenant="x"))
    pool.start("a")
    pool.wait(3.0)
    return pool


def test_a_chain_that_nobody_objects_to_goes_on_with_a_token_for_each_step() -> None:
    keys = LeaseKeys((b"k" * 32,))
    pool = _running()
    _begin_by_succession(pool, "b", "a", "c", "d")
    (extension,) = _extended(pool, LeaseProofs(lambda: keys))
    assert extension.key == key("b")
    assert [each.request.key.path for each in extension.successors] == ["c", "d"]
    for each in extension.successors:
        issue = each.request.key
        claim = LeaseClaim(
            tenant="x",
            run_id=issue.run_id,
            path=issue.path,
            attempt=1,
            generation=1,
            incarnation="r1",
        )
        assert keys.verify(claim, issue.lease_token)
    pool.wait(1.0)
    assert len(_extended(pool)) == 1, "once"


def test_another_tenant_that_waits_gets_the_place_of_a_chain_that_would_go_on() -> None:
    pool = _running()
    pool.ask(request("y", tenant="y"))
    _begin_by_succession(pool, "b", "a", "c", "d")
    assert _extended(pool) == []
    assert _ended(pool) == ["a", "b"]
    pool.end("b")
    assert pool.where("y") == ["r1"]


@pytest.mark.parametrize(("priority", "goes_on"), [(1, False), (0, False), (-1, True)])
def test_a_chain_does_not_go_on_before_own_steps_that_would_stand_before_it(
    priority: int, goes_on: bool
) -> None:
    pool = _running()
    pool.ask(request("other", tenant="x", priority=priority))
    _begin_by_succession(pool, "b", "a", "c")
    assert bool(_extended(pool)) == goes_on


def test_an_own_step_of_less_priority_that_has_waited_for_longer_than_that_is_worth_comes_first() -> (
    None
):
    pool = _running()
    pool.ask(request("other", tenant="x", priority=-1))
    pool.wait(61.0)
    _begin_by_succession(pool, "b", "a", "c")
    assert _extended(pool) == []


def test_a_chain_goes_on_as_far_as_needs_and_labels_allow() -> None:
    pool = _running(Host("r1", slots=1, labels={"spark": "4"}))
    held = step_pb2.StepHeld(key=key("b"), incarnation="r1", tenant="x", leads=True)
    offer(held, request("c", labels=("spark=4",)), request("d", labels=("r",)), request("e"))
    ended = [step_pb2.StepEnded(key=key("a"))]
    record = step_pb2.StepRequests(pool="default", epoch=1, ended=ended, held=[held])
    pool.matcher.requests(record, pool.now)
    pool.tick()
    (extension,) = _extended(pool)
    assert [each.request.key.path for each in extension.successors] == ["c"]


def test_no_chain_goes_on_at_a_runner_that_drains() -> None:
    pool = _running()
    pool.hosts["r1"].draining = True
    pool.beat()
    _begin_by_succession(pool, "b", "a", "c")
    assert _extended(pool) == []


def test_no_chain_goes_on_of_a_step_that_is_over_when_its_start_is_heard() -> None:
    pool = _running()
    _begin_by_succession(pool, "b", "b", "c")
    assert _extended(pool) == []
