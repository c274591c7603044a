"""A step whose runner builds its environment waits for that, and its tenant is told so."""

from __future__ import annotations

from dataclasses import replace

from coordinator_tests.matching.world import Host, Pool, request
from kaonapi.runner.v1 import runner_pb2 as r


def _building() -> Pool:
    host = Host("r1", slots=1)
    pool = Pool(host)
    pool.ask(request("train", tenant="alpha"))
    pool.start("train")
    host.building["train"] = "needs.txt"
    pool.beat()
    return pool


def test_why_and_the_lists_say_that_an_environment_is_being_built() -> None:
    pool = _building()

    (reason,) = pool.reasons("train")
    assert reason.cause == r.WAIT_CAUSE_ENVIRONMENT
    assert reason.text.startswith("Its environment, of needs.txt, is being built at r1;")
    assert reason.runner_id == "r1"
    assert [build.key.path for build in pool.runners()["r1"].building] == ["train"]
    assert pool.view().building == 1

    pool.hosts["r1"].building.clear()
    pool.beat()
    assert pool.reasons("train")[0].cause == r.WAIT_CAUSE_RUNNING
    assert pool.view().building == 0


def test_other_tenants_are_not_told_what_is_built_for_whom() -> None:
    pool = _building()
    asked = replace(pool.moment, tenant="zulu")
    assert not pool.matcher.runners(asked)[0].building
    assert pool.matcher.view(asked).building == 0


def test_what_is_built_for_a_lease_of_the_past_is_not_told() -> None:
    pool = _building()
    pool.end("train")
    pool.hosts["r1"].building["gone"] = "needs.txt"
    pool.beat()
    assert not pool.runners()["r1"].building
