"""What a matcher does with requests, heartbeats and time."""

from __future__ import annotations

import pytest

from kaon_coordinator.matching.match_effects import AskRunners, OpenPool, Release, ReportPool
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.matching.matcher_settings import MatcherSettings
from kaon_coordinator.matching.placement import Round
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Ticket
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

from .world import Host, Pool, key, request


def test_a_request_goes_to_a_runner_with_a_free_slot() -> None:
    pool = Pool(Host("r1"))

    pool.ask(request("a"))

    assert pool.released == [("r1", "a", 1)]


def test_requests_wait_for_a_runner_and_go_when_one_is_heard() -> None:
    pool = Pool()
    pool.ask(request("a"))
    assert pool.released == []

    pool.hosts["r1"] = Host("r1")
    pool.beat()

    assert pool.where("a") == ["r1"]


def test_releases_for_one_runner_travel_together() -> None:
    pool = Pool(Host("r1", slots=4))

    pool.ask(request("a"), request("b"), request("c"))

    (release,) = [effect for effect in pool.effects if isinstance(effect, Release)]
    assert [step_pb2.StepRequest.FromString(data).key.path for data in release.requests] == [
        "a",
        "b",
        "c",
    ]


def test_work_is_spread_over_the_least_loaded_runners() -> None:
    pool = Pool(Host("r1", slots=2), Host("r2", slots=2))

    pool.ask(*(request(f"s{n}") for n in range(4)))

    assert sorted(incarnation for incarnation, _, _ in pool.released) == ["r1", "r1", "r2", "r2"]


def test_a_busy_runner_gets_nothing_more_until_a_step_ends() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(request("a"), request("b"))
    assert pool.where("b") == []

    pool.wait(1.0)
    pool.end("a")

    assert pool.where("b") == ["r1"]


def test_the_same_request_twice_is_released_once() -> None:
    pool = Pool(Host("r1"))

    pool.ask(request("a"), request("a"))
    pool.ask(request("a"))

    assert pool.where("a") == ["r1"]


def test_a_higher_generation_supersedes_one_that_waits() -> None:
    pool = Pool()
    pool.ask(request("a"))
    pool.ask(request("a", generation=2))

    pool.hosts["r1"] = Host("r1")
    pool.beat()

    assert pool.released == [("r1", "a", 2)]


def test_a_stale_generation_is_ignored() -> None:
    pool = Pool()
    pool.ask(request("a", generation=3))
    pool.ask(request("a", generation=2))

    pool.hosts["r1"] = Host("r1")
    pool.beat()

    assert pool.released == [("r1", "a", 3)]


def test_a_request_that_ended_while_it_waited_is_not_released() -> None:
    pool = Pool()
    pool.ask(request("a"))
    pool.end("a")

    pool.hosts["r1"] = Host("r1")
    pool.beat()

    assert pool.released == []


def test_a_late_copy_of_a_request_that_has_ended_is_ignored() -> None:
    pool = Pool(Host("r1"))
    pool.ask(request("a"))
    pool.end("a")

    pool.ask(request("a"))

    assert pool.where("a") == ["r1"]


def test_records_of_a_succeeded_engine_are_ignored() -> None:
    pool = Pool(Host("r1"))
    pool.ask(request("a"), epoch=5)

    pool.ask(request("b"), epoch=4)

    assert [path for _, path, _ in pool.released] == ["a"]


def test_higher_priority_goes_first() -> None:
    pool = Pool()
    pool.ask(request("low"), request("high", priority=5))

    pool.hosts["r1"] = Host("r1")
    pool.beat()

    assert [path for _, path, _ in pool.released] == ["high", "low"]


def test_within_a_tenant_the_oldest_goes_first() -> None:
    pool = Pool()
    pool.ask(*(request(f"s{n}") for n in range(5)))

    pool.hosts["r1"] = Host("r1", slots=5)
    pool.beat()

    assert [path for _, path, _ in pool.released] == ["s0", "s1", "s2", "s3", "s4"]


def test_a_step_that_lost_its_runner_goes_before_those_that_came_after_it() -> None:
    pool = Pool()
    pool.ask(*(request(f"s{n}") for n in range(5)))
    pool.ask(request("lost", generation=2))

    pool.hosts["r1"] = Host("r1", slots=2)
    pool.beat()

    assert [path for _, path, _ in pool.released] == ["lost", "s0"]


def test_labels_choose_the_runner() -> None:
    pool = Pool(Host("plain"), Host("spark", labels={"spark": "4.3"}))

    pool.ask(request("a", labels=("spark=4.3",)), request("b", labels=("!spark",)))

    assert pool.where("a") == ["spark"]
    assert pool.where("b") == ["plain"]


def test_a_step_that_nobody_can_take_does_not_hold_up_others() -> None:
    pool = Pool(Host("r1"))

    pool.ask(request("a", labels=("gpu",)), request("b"))

    assert [path for _, path, _ in pool.released] == ["b"]


def test_a_step_is_not_given_to_a_runner_that_is_too_small() -> None:
    pool = Pool(Host("small", slots=2, memory=100), Host("large", slots=2, memory=1000))

    pool.ask(request("a", memory=500))
    pool.ask(request("b", slots=3))

    assert pool.where("a") == ["large"]
    assert pool.where("b") == []


def test_a_warm_runner_is_preferred_to_an_emptier_cold_one() -> None:
    pool = Pool(Host("cold", slots=8), Host("warm", slots=2, warm=("sha256:b",)))

    pool.ask(request("first"))
    pool.ask(request("a", bundle="sha256:b"))

    assert pool.where("a") == ["warm"]


def test_a_free_cold_runner_is_preferred_to_a_warm_one_that_would_let_the_step_queue() -> None:
    pool = Pool(Host("warm", slots=1, warm=("sha256:b",), recent_us=1000), Host("cold", slots=1))

    pool.ask(request("a", bundle="sha256:b"), request("b", bundle="sha256:b"))

    assert (pool.where("a"), pool.where("b")) == (["warm"], ["cold"])


def test_long_steps_are_not_hoarded() -> None:
    pool = Pool(Host("r1", slots=2, recent_us=60_000_000))

    pool.ask(*(request(f"s{n}") for n in range(20)))

    assert len(pool.released) == 2


def test_short_steps_travel_in_batches_of_at_most_sixteen_times_the_slots() -> None:
    pool = Pool(Host("r1", slots=2, recent_us=500))

    pool.ask(*(request(f"s{n}") for n in range(50)))

    assert len(pool.released) == 32


def test_the_depth_is_learnt_from_how_soon_steps_end() -> None:
    pool = Pool(Host("r1", slots=2))
    pool.ask(*(request(f"s{n}") for n in range(1000)))
    assert len(pool.released) == 2

    ended = 0
    for _ in range(20):
        pool.now += 0.004
        batch = pool.released[ended:]
        ended += len(batch)
        for _, path, _ in batch:
            pool.end(path)

    assert len(pool.released) - ended == 32


def test_a_release_that_the_runner_never_got_goes_to_another_one_with_the_same_generation() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.deaf = {"r1"}
    pool.ask(request("a"))
    assert pool.where("a") == ["r1"]

    pool.wait(8.0)

    assert pool.released == [("r1", "a", 1), ("r2", "a", 1)]


def test_a_release_that_its_runner_names_stays_there() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.ask(request("a"))

    pool.wait(30.0)

    assert pool.where("a") == ["r1"]


def test_heartbeats_sent_before_the_release_do_not_lose_it() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    host = pool.hosts["r1"]
    old = [host.heartbeat(pool.now + n / 1000) for n in range(5)]
    pool.silent = {"r1"}
    pool.ask(request("a"))
    pool.wait(3.0)

    for heartbeat in old:
        pool.matcher.heartbeat(heartbeat, pool.now)
        pool.tick()

    assert pool.where("a") == ["r1"]


def test_a_silent_runner_is_dropped_after_the_lease_and_what_it_did_not_start_goes_elsewhere() -> (
    None
):
    pool = Pool(Host("r1", slots=2), Host("r2", slots=2))
    pool.ask(request("a"))
    (incarnation,) = pool.where("a")
    other = {"r1": "r2", "r2": "r1"}[incarnation]
    pool.silent = {incarnation}

    pool.wait(9.0)
    assert pool.where("a") == [incarnation]
    pool.wait(2.0)

    assert pool.where("a") == [incarnation, other]
    assert list(pool.runners()) == [other]


def test_what_a_silent_runner_had_started_is_left_to_the_engine() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.ask(request("a"))
    pool.start("a")
    pool.beat()
    pool.silent = {"r1"}

    pool.wait(12.0)
    assert pool.where("a") == ["r1"]
    pool.ask(request("a", generation=2))

    assert pool.released[-1] == ("r2", "a", 2)


def test_a_quiet_runner_gets_nothing_new() -> None:
    pool = Pool(Host("r1", slots=4), Host("r2", slots=1))
    pool.silent = {"r1"}
    pool.wait(6.0)

    pool.ask(request("a"), request("b"))

    assert (pool.where("a"), pool.where("b")) == (["r2"], [])


def test_the_silence_of_a_broker_is_not_blamed_on_runners() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.ask(request("a"))
    pool.silent = {"r1", "r2"}

    for _ in range(60):
        pool.wait(0.5)
        pool.matcher.deafen(pool.now)
    pool.silent = set()
    pool.wait(4.0)

    assert pool.where("a") == ["r1"]


def test_a_matcher_that_was_frozen_does_not_blame_the_runners() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.ask(request("a"))

    pool.now += 60.0
    pool.tick()
    pool.beat()

    assert pool.where("a") == ["r1"]


def test_a_leaving_runner_gives_everything_back_at_once() -> None:
    pool = Pool(Host("r1", slots=1), Host("r2", slots=1))
    pool.ask(request("a"))
    host = pool.hosts.pop("r1")

    pool.matcher.heartbeat(host.heartbeat(pool.now, leaving=True), pool.now)
    pool.tick()

    assert pool.where("a") == ["r1", "r2"]


def test_a_late_heartbeat_of_a_runner_that_has_left_does_not_bring_it_back() -> None:
    pool = Pool()
    host = Host("r1")
    late, last = host.heartbeat(pool.now), host.heartbeat(pool.now, leaving=True)

    pool.matcher.heartbeat(last, pool.now)
    pool.matcher.heartbeat(late, pool.now)

    assert pool.runners() == {}


def test_an_older_heartbeat_changes_nothing() -> None:
    pool = Pool()
    host = Host("r1", slots=1)
    old = host.heartbeat(pool.now)
    host.slots = 4
    pool.matcher.heartbeat(host.heartbeat(pool.now), pool.now)

    pool.matcher.heartbeat(old, pool.now)

    assert pool.runners()["r1"].capacity.slots == 4


def test_a_draining_runner_gets_nothing_new() -> None:
    pool = Pool(Host("r1", slots=4))
    pool.hosts["r1"].draining = True
    pool.beat()

    pool.ask(request("a"))

    assert pool.released == []


def test_the_next_life_of_a_runner_replaces_a_silent_one_before_its_lease_is_over() -> None:
    pool = Pool(Host("life-1", slots=1, runner_id="host"))
    pool.ask(request("a"))
    pool.silent = {"life-1"}
    pool.hosts["life-2"] = Host("life-2", slots=1, runner_id="host")

    pool.wait(7.0)

    assert pool.where("a") == ["life-1", "life-2"]


def test_two_live_runners_of_the_same_name_both_work() -> None:
    pool = Pool(Host("one", slots=1, runner_id="host"), Host("two", slots=1, runner_id="host"))
    pool.wait(20.0)

    pool.ask(request("a"), request("b"))

    assert sorted(pool.where("a") + pool.where("b")) == ["one", "two"]


def test_what_is_queued_behind_a_long_step_is_withdrawn_when_another_runner_is_free() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=1000))
    pool.ask(request("long"), request("short"))
    assert pool.where("short") == ["r1"]
    pool.start("long")
    pool.hosts["r2"] = Host("r2", slots=1)

    pool.wait(6.0)

    assert pool.withdrawn == [("r1", "short")]


def test_nothing_is_withdrawn_when_no_other_runner_is_free() -> None:
    pool = Pool(Host("r1", slots=1, recent_us=1000), Host("r2", slots=1, labels={"only": "this"}))
    pool.ask(request("mine", labels=("only",)), request("long"), request("short"), request("more"))
    pool.start("long", "mine")

    pool.wait(10.0)

    assert pool.withdrawn == []


def test_a_step_that_was_handed_back_goes_to_another_runner() -> None:
    pool = Pool(Host("r1", slots=4), Host("r2", slots=1))
    pool.ask(request("filler"))
    pool.ask(request("a"))
    (first,) = pool.where("a")
    other = {"r1": "r2", "r2": "r1"}[first]
    del pool.hosts[first].queued["a"]
    if pool.where("filler") == [other]:
        pool.end("filler")

    pool.ask(request("a", generation=2))

    assert pool.where("a") == [first, other]


def test_a_step_that_its_only_runner_handed_back_is_tried_again_after_a_while() -> None:
    pool = Pool(Host("r1", slots=2))
    pool.ask(request("a"))
    pool.hosts["r1"].queued.clear()

    pool.ask(request("a", generation=2))
    assert pool.where("a") == ["r1"]
    assert "handed it back" in pool.why("a")
    pool.wait(2.1)

    assert pool.where("a") == ["r1", "r1"]


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    pool = Pool(Host("r1", slots=4))
    pool.ask(*(request(f"s{n}", tenant="small") for n in range(4)))
    pool.ask(request("large", slots=4, tenant="large"))
    pool.start(*(f"s{n}" for n in range(4)))

    ended = 0
    for number in range(4, 100):
        pool.ask(request(f"s{number}", tenant="small"))
        pool.wait(0.3)
        running = [path for _, path, _ in pool.released if path != "large"]
        if len(running) > ended:
            pool.end(running[ended])
            ended += 1
        if pool.where("large"):
            break

    assert pool.where("large") == ["r1"]


def test_a_new_owner_asks_engines_and_runners_what_there_is() -> None:
    matcher = PoolMatcher(pool="default", epoch=7, run_partitions=2, now=0.0)

    opened, asked = matcher.open()

    assert isinstance(opened, OpenPool)
    assert opened.message.pool_epoch == 7
    assert asked == AskRunners(pool="default", pool_epoch=7)


def test_a_new_owner_lets_runners_keep_what_they_have_queued() -> None:
    pool = Pool(epoch=2)
    pool.hosts["r2"] = Host("r2")
    pool.beat()
    pool.ask(request("a"), answers=2)
    pool.hosts["r1"] = Host("r1", queued={"a": 1})

    pool.wait(5.0)

    assert pool.released == []
    assert "r1" in pool.why("a")


def test_a_new_owner_releases_what_no_runner_has_after_it_has_settled() -> None:
    pool = Pool(Host("r1"), epoch=2)
    pool.ask(request("a"), answers=2)
    assert "new" in pool.why("a")

    pool.wait(3.0)

    assert pool.where("a") == ["r1"]


def test_a_new_owner_releases_fresh_requests_at_once() -> None:
    pool = Pool(Host("r1"), epoch=2)

    pool.ask(request("a"))

    assert pool.where("a") == ["r1"]


def test_a_step_that_is_held_occupies_its_runner() -> None:
    pool = Pool(Host("r1", slots=1, running={"held": 4}))
    held = step_pb2.StepHeld(
        key=key("held", 4),
        incarnation="r1",
        tenant="default",
        resources=definition_pb2.Resources(slots=1),
    )
    record = step_pb2.StepRequests(
        pool="default", partition=0, epoch=1, held=[held], answers_pool_epoch=1
    )
    pool.matcher.requests(record, pool.now)
    pool.ask(request("a"))
    assert pool.released == []
    assert pool.why("held") == "It runs at r1."

    pool.end("held", 4)

    assert pool.where("a") == ["r1"]


def test_a_step_held_by_a_runner_that_is_not_heard_yet_is_known() -> None:
    pool = Pool()
    held = step_pb2.StepHeld(key=key("held"), incarnation="r1", tenant="default")
    pool.matcher.requests(
        step_pb2.StepRequests(pool="default", partition=0, epoch=1, held=[held]), pool.now
    )
    pool.hosts["r1"] = Host("r1", slots=1, running={"held": 1})
    pool.beat()

    pool.ask(request("a"))
    assert pool.released == []
    pool.end("held")

    assert pool.where("a") == ["r1"]


def test_foreign_steps_of_a_runner_count_against_its_slots() -> None:
    pool = Pool(Host("r1", slots=2, running={"foreign": 9}))

    pool.ask(request("a"), request("b"))

    assert [path for _, path, _ in pool.released] == ["a"]


def test_a_report_says_for_each_partition_what_waits_and_what_was_released() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(request("a"), request("b"))
    pool.ask(request("c", partition=1), partition=1)

    pool.wait(3.2)

    reports = [effect.message for effect in pool.effects if isinstance(effect, ReportPool)]
    assert [(report.partition, report.waiting, report.released) for report in reports] == [
        (0, 1, 1),
        (1, 1, 0),
    ]


def test_a_request_whose_releases_keep_getting_lost_is_forgotten_and_accepted_again() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.deaf = {"r1"}
    pool.ask(request("a"))

    pool.wait(60.0)
    assert len(pool.where("a")) == 3
    pool.deaf = set()
    pool.ask(request("a"))

    assert len(pool.where("a")) == 4


@pytest.mark.parametrize(
    ("pool", "asked", "words"),
    [
        (Pool(), request("a"), "No runner of pool 'default' sends heartbeats."),
        (
            Pool(Host("r1")),
            request("a", labels=("spark=4.3",)),
            "No runner has spark=4.3 (1 in pool 'default').",
        ),
        (
            Pool(Host("r1")),
            request("a", slots=9),
            "It needs 9 slots, and no runner with its labels has that much (they have 2 slots).",
        ),
        (
            Pool(Host("r1")),
            request("a", labels=("a b c",)),
            "No runner can ever take it: 'a b c' is not a label expression",
        ),
        (
            Pool(Host("r1", labels={"x": "1"}), Host("r2", labels={"y": "1"})),
            request("a", labels=("x", "y")),
            "No runner has x and y together",
        ),
        (
            Pool(Host("r1", draining=True)),
            request("a"),
            "Of 1 runner that could take it 1 is draining.",
        ),
    ],
)
def test_it_says_in_words_why_a_step_waits(
    pool: Pool, asked: step_pb2.StepRequest, words: str
) -> None:
    pool.ask(asked)

    assert words in pool.why("a")


def test_it_says_how_many_steps_go_before() -> None:
    pool = Pool(Host("r1", slots=1))
    pool.ask(request("running"), request("older"), request("urgent", priority=1), request("a"))

    assert "The only runner that could take it is busy. 2 steps are ahead of it" in pool.why("a")


def test_it_says_that_it_does_not_know_a_step() -> None:
    assert "has no request for this step" in Pool().why("unheard-of")


def test_runners_are_shown_as_they_are() -> None:
    pool = Pool(Host("r1", slots=1, labels={"spark": "4.3"}, recent_us=100))
    pool.ask(request("a"), request("b"))
    pool.start("a")
    pool.beat()

    (runner,) = pool.runners().values()

    assert (runner.runner_id, runner.running, runner.queued) == ("r1", 1, 1)
    assert runner.labels["spark"] == "4.3"
    assert runner.last_heartbeat_time.seconds == 1_700_000_100


def test_a_step_for_which_something_is_raised_is_dropped_and_told_and_the_others_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Round._choose

    def choose(self: Round, ticket: Ticket) -> RunnerState | None:
        if ticket.step[1] == "bad":
            raise OverflowError("more than a number can hold")
        return real(self, ticket)

    monkeypatch.setattr(Round, "_choose", choose)
    matcher = PoolMatcher(pool="default", epoch=1, run_partitions=1, now=0.0)
    record = step_pb2.StepRequests(pool="default", epoch=1)
    record.requests.extend(request(path, partition=0) for path in ("bad", "good"))
    matcher.requests(record, 0.0)
    heartbeat = runner_pb2.RunnerHeartbeat(
        pool="default", runner_id="r", incarnation="r", sequence=1
    )
    heartbeat.capacity.slots = 4
    matcher.heartbeat(heartbeat, 0.0)
    released = [
        step_pb2.StepRequest.FromString(each).key.path
        for effect in matcher.tick(0.1)
        if isinstance(effect, Release)
        for each in effect.requests
    ]
    assert released == ["good"]
    (trouble,) = matcher.take_troubles()
    assert (trouble.run_id, trouble.path, trouble.partition) == ("run-1", "bad", 0)
    assert matcher.take_troubles() == []
    assert matcher.waiting == 0


def test_a_pool_tells_that_its_matcher_has_just_begun_to_listen() -> None:
    pool = Pool()
    assert pool.view().settling
    pool.wait(MatcherSettings().settle)
    assert not pool.view().settling
