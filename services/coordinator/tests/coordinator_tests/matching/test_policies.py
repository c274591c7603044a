"""Who goes first, and where to: resources, priorities, weights, quotas, large steps, near code, and runners that fail."""

from __future__ import annotations

import pytest

from kaon_coordinator.matching.matcher_settings import MatcherSettings
from kaon_coordinator.matching.tenants import Entitlement, Tenants, tenants_from
from kaonapi.runner.v1 import runner_pb2 as r

from .world import Host, Pool, request

LONG_US = 10**9


def paths(pool: Pool) -> list[str]:
    """What was released, in order."""
    return [path for _, path, _ in pool.released]


# --- resources ---------------------------------------------------------------------------------------------------


def test_cores_and_gpus_are_counted() -> None:
    pool = Pool(Host("r1", slots=8, cpu=4000, gpu=1))

    pool.ask(
        request("a", cpu=3000),
        request("b", cpu=2000),
        request("c", cpu=1000, gpu=1),
        request("d", gpu=1),
    )

    assert paths(pool) == ["a", "c"]


def test_countable_resources_of_the_deployment_are_counted() -> None:
    pool = Pool(Host("r1", slots=8, custom={"licence": 2}), Host("r2", slots=8))

    pool.ask(*(request(f"s{n}", custom={"licence": 1}) for n in range(3)))

    assert pool.released == [("r1", "s0", 1), ("r1", "s1", 1)]
    pool.end("s0")
    assert pool.where("s2") == ["r1"]


def test_a_resource_that_no_runner_has_is_named() -> None:
    pool = Pool(Host("r1", slots=8))

    pool.ask(request("a", custom={"licence": 1}), request("b", gpu=2))

    assert "It needs 1 slot, 1 licence, and no runner with its labels has that much" in pool.why(
        "a"
    )
    (reason,) = pool.reasons("b")
    assert (reason.cause, reason.wanted.gpu, reason.limit.gpu) == (r.WAIT_CAUSE_TOO_LARGE, 2, 0)


def test_runners_with_gpus_are_kept_for_steps_that_need_them() -> None:
    pool = Pool(Host("a-gpu", slots=2, gpu=2), Host("plain", slots=2))

    pool.ask(request("a"), request("b"), request("c", gpu=1))

    assert (pool.where("a"), pool.where("b"), pool.where("c")) == (["plain"], ["plain"], ["a-gpu"])


def test_but_a_step_does_not_wait_for_a_plain_runner_when_only_one_with_a_gpu_is_free() -> None:
    pool = Pool(Host("gpu", slots=2, gpu=2), Host("plain", slots=1))

    pool.ask(request("a"), request("b"))

    assert sorted(pool.where("a") + pool.where("b")) == ["gpu", "plain"]


# --- priorities --------------------------------------------------------------------------------------------------


def test_a_level_of_priority_is_worth_a_minute_of_waiting() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=LONG_US))
    pool.ask(request("running"))
    pool.start("running")
    pool.ask(request("old"))
    pool.wait(61.0)
    pool.ask(request("urgent", priority=1), request("more urgent", priority=2))

    for path in ("running", "more urgent", "old"):
        pool.end(path)

    assert paths(pool) == ["running", "more urgent", "old", "urgent"]


def test_a_tenant_of_low_priority_gets_its_turn_under_a_flood_of_high_priority() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=LONG_US))
    pool.ask(request("high-0", tenant="rich", priority=1))
    pool.ask(request("low", tenant="poor"))
    asked = pool.now

    for number in range(1, 100):
        pool.ask(request(f"high-{number}", tenant="rich", priority=1))
        pool.wait(2.0)
        pool.end(f"high-{number - 1}")
        if pool.where("low"):
            break

    assert pool.where("low") == ["r1"]
    assert 60.0 <= pool.now - asked <= 64.0


def test_a_request_that_nobody_can_take_lifts_no_other_of_its_tenant() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=LONG_US))
    pool.ask(request("running"), request("impossible", tenant="a", labels=("gpu",)))
    pool.wait(200.0)
    pool.ask(request("fresh", tenant="a"), request("urgent", tenant="b", priority=1))

    pool.end("running")

    assert paths(pool) == ["running", "urgent"]


# --- weights and quotas --------------------------------------------------------------------------------------------


def test_a_tenant_of_twice_the_weight_gets_twice_as_much() -> None:
    tenants = Tenants(named={"b": Entitlement(weight=2.0)})
    pool = Pool(Host("r1", slots=12, recent_us=LONG_US), tenants=tenants)

    pool.ask(*(request(f"{tenant}{n}", tenant=tenant) for n in range(20) for tenant in "ab"))

    assert sorted(path[0] for path in paths(pool)) == ["a"] * 4 + ["b"] * 8


def test_the_dominant_resource_decides() -> None:
    """The example of the paper: 9 cores, 18 GB; A wants (1 core, 4 GB), B (3 cores, 1 GB): A gets 3 steps, B gets 2."""
    gb = 10**9
    pool = Pool(Host("r1", slots=100, cpu=9000, memory=18 * gb, recent_us=LONG_US))

    pool.ask(
        *(request(f"a{n}", tenant="a", cpu=1000, memory=4 * gb) for n in range(9)),
        *(request(f"b{n}", tenant="b", cpu=3000, memory=gb) for n in range(9)),
    )

    assert sorted(path[0] for path in paths(pool)) == ["a"] * 3 + ["b"] * 2


def test_a_tenant_never_has_more_than_its_quota() -> None:
    tenants = tenants_from({"tenants": {"a": {"quota": {"slots": 2}}}})
    pool = Pool(Host("r1", slots=4, recent_us=LONG_US), tenants=tenants)

    pool.ask(*(request(f"a{n}", tenant="a") for n in range(4)), request("b", tenant="b"))

    assert paths(pool) == ["a0", "b", "a1"]
    quota, behind = pool.reasons("a2")
    assert quota.cause == r.WAIT_CAUSE_OVER_QUOTA
    assert (
        quota.text
        == "Its tenant 'a' has 2 slots of its quota of 2 slots in pool 'default', and it needs 1 slot."
    )
    assert (quota.tenant, quota.used.slots, quota.limit.slots) == ("a", 2, 2)
    assert behind.cause == r.WAIT_CAUSE_BEHIND
    pool.end("a0")
    assert pool.where("a2") == ["r1"]


def test_a_tenant_over_its_quota_of_gpus_still_gets_other_runners() -> None:
    tenants = tenants_from({"default": {"quota": {"gpu": 1}}})
    pool = Pool(Host("r1", slots=4, gpu=4, recent_us=LONG_US), tenants=tenants)

    pool.ask(request("a", gpu=1), request("b", gpu=1), request("c"))

    assert paths(pool) == ["a", "c"]


# --- large steps ---------------------------------------------------------------------------------------------------


def flood(pool: Pool, seconds: int, *, tenants: int = 1) -> None:
    """Small steps end one by one, and more come, until the large one is released."""
    for number in range(4, 4 + seconds * 4):
        pool.ask(request(f"s{number}", tenant=f"small-{number % tenants}", labels=("!own",)))
        pool.wait(0.3)
        running = [path for path in paths(pool) if path.startswith("s")]
        pool.end(
            next(
                path
                for path in running
                if path in pool.hosts["r1"].queued | pool.hosts["r1"].running
            )
        )
        if pool.where("large"):
            return


def test_a_runner_is_drained_for_a_large_step_even_when_many_tenants_hold_less() -> None:
    pool = Pool(Host("r1", slots=4, recent_us=LONG_US))
    pool.ask(*(request(f"s{n}", tenant=f"small-{n}") for n in range(4)))
    pool.ask(request("large", slots=4, tenant="large"))

    flood(pool, 30, tenants=40)

    assert pool.where("large") == ["r1"]


def test_the_small_ones_that_wait_for_it_are_told() -> None:
    settings = MatcherSettings(reserve=0.5)
    pool = Pool(Host("r1", slots=4, recent_us=LONG_US), settings=settings)
    pool.ask(*(request(f"s{n}", tenant="small") for n in range(3)))
    pool.ask(request("large", slots=4, tenant="large"))
    pool.start("s0", "s1", "s2")
    pool.wait(30.0)
    pool.end("s0")
    pool.ask(request("s4", tenant="small"))
    pool.start("s4")
    pool.wait(1.0)
    pool.end("s1")
    pool.ask(request("s5", tenant="small"))

    reasons = {reason.cause: reason for reason in pool.reasons("s5")}

    assert pool.where("s5") == []
    assert list(reasons[r.WAIT_CAUSE_RESERVED].others) == ["large"]
    assert (
        "1 runner is kept free for large, which needs more at once and has waited longer."
        in pool.why("s5")
    )
    assert pool.runners()["r1"].reserved_for.path == "large"


def test_a_large_step_of_a_tenant_that_holds_much_is_not_starved_either() -> None:
    pool = Pool(Host("r1", slots=4, recent_us=LONG_US), Host("r2", slots=4, labels={"own": "1"}))
    pool.ask(*(request(f"own-{n}", tenant="large", labels=("own",)) for n in range(4)))
    pool.ask(*(request(f"s{n}", tenant="small-0", labels=("!own",)) for n in range(4)))
    pool.ask(request("large", slots=4, tenant="large", labels=("!own",)))

    flood(pool, 30)

    assert pool.where("large") == ["r1"]


def test_equal_steps_reserve_nothing() -> None:
    pool = Pool(Host("r1", slots=2, recent_us=LONG_US))
    pool.ask(*(request(f"s{n}") for n in range(9)))
    for number in range(6):
        pool.wait(3.0)
        pool.end(f"s{number}")

    assert not pool.runners()["r1"].HasField("reserved_for")


# --- near code -----------------------------------------------------------------------------------------------------


def test_a_runner_that_had_steps_of_the_bundle_is_preferred_to_one_that_had_not() -> None:
    pool = Pool(Host("r1", slots=2), Host("r2", slots=2))
    pool.ask(request("first", bundle="sha256:b"))
    (near,) = pool.where("first")
    pool.end("first")
    pool.ask(request("filler", bundle="sha256:other"))

    pool.ask(request("second", bundle="sha256:b"))

    assert pool.where("second") == [near]


# --- runners that fail ---------------------------------------------------------------------------------------------


def hand_back(pool: Pool, path: str, generation: int) -> None:
    """The runner gives a step back of its own accord; its engine asks again."""
    for host in pool.hosts.values():
        host.queued.pop(path, None)
    pool.ask(request(path, generation=generation))


def test_a_runner_that_hands_steps_back_again_and_again_rests_and_why_says_so() -> None:
    pool = Pool(Host("good", slots=1, labels={"x": "1"}), Host("bad", slots=4))
    pool.ask(request("held", labels=("x",)))
    for generation in range(1, 4):
        pool.ask(request("a", labels=("!x",)), request("a", labels=("!x",), generation=generation))
        pool.wait(2.5)
        for host in pool.hosts.values():
            host.queued.pop("a", None)
    pool.ask(request("a", labels=("!x",), generation=4))

    assert pool.runners()["bad"].condition == r.RUNNER_CONDITION_RESTING
    (reason,) = pool.reasons("a")
    assert (reason.cause, reason.resting, reason.eligible) == (r.WAIT_CAUSE_CLOSED, 1, 1)
    assert "1 rests for" in reason.text
    assert reason.HasField("due_time")
    pool.wait(11.0)
    assert pool.where("a")[-1] == "bad"
    assert pool.runners()["bad"].condition == r.RUNNER_CONDITION_OPEN


def test_the_only_runner_never_rests() -> None:
    pool = Pool(Host("r1", slots=4))
    pool.ask(request("a"))
    for generation in range(2, 8):
        hand_back(pool, "a", generation)
        pool.wait(2.1)

    assert len(pool.where("a")) == 7


def test_a_runner_that_does_not_start_a_step_although_it_is_free_is_slow_and_comes_last() -> None:
    pool = Pool(Host("slow", slots=4), Host("other", slots=1))
    pool.ask(request("a"), request("b"))
    pool.start(*(path for path in "ab" if pool.where(path) == ["other"]))
    pool.wait(6.0)

    assert pool.runners()["slow"].condition == r.RUNNER_CONDITION_SLOW
    assert pool.runners()["other"].condition == r.RUNNER_CONDITION_OPEN
    pool.hosts["third"] = Host("third", slots=1)
    pool.beat()
    pool.ask(request("c"), request("d"))
    assert (pool.where("c"), pool.where("d")) == (["third"], ["slow"])


def test_a_runner_that_was_silent_for_a_while_is_slow_for_a_minute() -> None:
    pool = Pool(Host("r1"), Host("r2"))
    pool.silent = {"r1"}
    pool.wait(4.5)
    pool.silent = set()
    pool.beat()
    assert pool.runners()["r1"].condition == r.RUNNER_CONDITION_SLOW

    pool.wait(61.0)

    assert pool.runners()["r1"].condition == r.RUNNER_CONDITION_OPEN


def test_a_matcher_that_was_slow_to_listen_blames_no_runner() -> None:
    pool = Pool(Host("r1"))
    spoken = [pool.hosts["r1"].heartbeat(pool.now + seconds) for seconds in (2.0, 4.0, 6.0)]

    pool.now += 6.0
    for heartbeat in spoken:
        pool.matcher.heartbeat(heartbeat, pool.now)

    assert pool.runners()["r1"].condition == r.RUNNER_CONDITION_OPEN


def test_steps_that_were_withdrawn_are_no_faults() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=1000), Host("r2", slots=1, draining=True))
    for number in range(4):
        pool.ask(request(f"long-{number}"), request(f"short-{number}"))
        pool.start(f"long-{number}")
        pool.hosts["r2"].draining = False
        pool.wait(6.0)
        assert ("r1", f"short-{number}") in pool.withdrawn
        hand_back(pool, f"short-{number}", 2)
        pool.hosts["r2"].draining = True
        for path in (f"long-{number}", f"short-{number}"):
            pool.end(path, 1 if path.startswith("long") else 2)
        pool.beat()

    assert pool.runners()["r1"].faults == 0


# --- what is told --------------------------------------------------------------------------------------------------


def test_it_says_when_the_next_runner_has_room_from_how_long_such_steps_took() -> None:
    pool = Pool(*(Host(f"r{n}", slots=1, labels={"x": "1"}) for n in range(3)))
    pool.ask(*(request(f"s{n}", labels=("x=1",)) for n in range(3)))
    pool.start("s0", "s1", "s2")
    pool.wait(50.0)
    for path in ("s0", "s1", "s2"):
        pool.end(path)
    pool.ask(*(request(f"t{n}", labels=("x=1",)) for n in range(4)))
    pool.start("t0", "t1", "t2")
    pool.wait(10.0)

    busy, behind = pool.reasons("t3")

    assert (busy.cause, busy.busy, busy.eligible, busy.runners) == (r.WAIT_CAUSE_BUSY, 3, 3, 3)
    assert busy.next_free_ms == 40_000
    assert busy.text == "3 of 3 runners with x=1 are busy; the next has room in about 40 s."
    assert (behind.cause, behind.higher_ahead, behind.same_ahead) == (r.WAIT_CAUSE_BEHIND, 0, 0)


def test_a_step_that_is_queued_at_its_runner_says_behind_how_much() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=1000))
    pool.ask(request("long"), request("short"))
    pool.start("long")
    pool.wait(4.0)

    (reason,) = pool.reasons("short")

    assert (reason.cause, reason.runner_id) == (r.WAIT_CAUSE_AT_RUNNER, "r1")
    assert reason.text == "It is queued at r1, which has 2 steps for 1 slot."


def test_a_pool_says_what_waits_and_cannot_be_placed_by_labels() -> None:
    tenants = tenants_from({"tenants": {"b": {"quota": {"slots": 1}}}})
    pool = Pool(
        Host("r1", slots=2, labels={"gpu": "a100"}, gpu=1, recent_us=LONG_US), tenants=tenants
    )
    pool.ask(request("b0", tenant="b"), request("a0"))
    pool.ask(
        *(request(f"g{n}", labels=("gpu!=none",), gpu=2) for n in range(3)),
        request("s", labels=("spark=4.3",), slots=4),
        request("b1", tenant="b"),
        request("a1"),
    )
    pool.wait(2.0)

    view = pool.view()

    assert (view.runners, view.capacity.slots, view.used.slots, view.waiting, view.released) == (
        1,
        2,
        2,
        6,
        2,
    )
    demands = {tuple(demand.labels): demand for demand in view.demands}
    assert set(demands) == {(), ("gpu!=none",), ("spark=4.3",)}
    gpus = demands["gpu!=none",]
    assert (gpus.steps, gpus.wanted.gpu, gpus.wanted.slots, gpus.largest.gpu, gpus.impossible) == (
        3,
        6,
        3,
        2,
        3,
    )
    spark = demands["spark=4.3",]
    assert (spark.steps, spark.wanted.slots, spark.impossible) == (1, 4, 1)
    plain = demands[()]
    assert (plain.steps, plain.over_quota, plain.impossible, plain.oldest_wait_ms) == (
        1,
        1,
        0,
        2000,
    )
    shares = {each.tenant: each for each in view.tenants}
    assert (shares["b"].used.slots, shares["b"].quota.slots, shares["b"].waiting) == (1, 1, 1)
    assert shares["b"].dominant_share == pytest.approx(0.5)
