"""What a matcher tells a tenant's caller: numbers of others, never their names."""

from __future__ import annotations

from dataclasses import replace

from kaon_coordinator.matching.matcher_settings import MatcherSettings
from kaonapi.runner.v1 import runner_pb2 as r

from .world import Host, Pool, request

LONG_US = 60_000_000


def _crowded() -> Pool:
    """A runner that is kept free for a large step of tenant zulu, while a small one of tenant alpha waits."""
    settings = MatcherSettings(reserve=0.5)
    host = Host("zulu-life", runner_id="r1", slots=4, recent_us=LONG_US, warm=("zulu-code",))
    pool = Pool(host, settings=settings)
    pool.ask(*(request(f"mine-{n}", tenant="alpha") for n in range(3)))
    pool.ask(request("zulu-large", slots=4, tenant="zulu"))
    pool.ask(request("zulu-odd", tenant="zulu", labels=("zulu-label",)))
    pool.start("mine-0", "mine-1", "mine-2")
    pool.wait(30.0)
    pool.end("mine-0")
    pool.ask(request("mine-4", tenant="alpha"))
    pool.start("mine-4")
    pool.wait(1.0)
    pool.end("mine-1")
    pool.ask(request("mine-b", tenant="alpha"))
    return pool


def test_a_tenant_is_told_its_own_share_and_how_many_others_there_are() -> None:
    pool = _crowded()
    asked = replace(pool.moment, tenant="alpha")

    view = pool.matcher.view(asked)

    assert [share.tenant for share in view.tenants] == ["alpha"]
    assert view.other_tenants == 1
    assert view.waiting == pool.view().waiting == 3
    assert "zulu" not in str(view)
    assert "zulu" in str(pool.view())


def test_a_tenant_sees_runners_without_what_they_are_kept_free_for() -> None:
    pool = _crowded()
    assert "zulu" in str(pool.runners())

    (runner,) = pool.matcher.runners(replace(pool.moment, tenant="alpha"))

    assert runner.runner_id == "r1"
    assert "zulu" not in str(runner)


def test_a_step_that_waits_behind_another_tenants_is_told_so_without_its_path() -> None:
    pool = _crowded()
    kept = [reason for reason in pool.reasons("mine-b") if reason.cause == r.WAIT_CAUSE_RESERVED]
    assert [list(reason.others) for reason in kept] == [["zulu-large"]]

    reasons = pool.matcher.explain("run-1", "mine-b", replace(pool.moment, tenant="alpha"))

    (told,) = [reason for reason in reasons if reason.cause == r.WAIT_CAUSE_RESERVED]
    assert told.text.startswith("1 runner is kept free for 1 step of other tenants, which")
    assert "zulu" not in str(reasons)
