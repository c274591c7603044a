"""The outbox of notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kaon_coordinator.store.base import DueNotice, Notice, Store, Undelivered

from .build import batch, submitted

MINUTE_US = 60_000_000


def notice(run_id: str, **changes: object) -> Notice:
    """A notice of a run's second event."""
    made = Notice(
        tenant="default", run_id=run_id, seq=2, channel="ops", payload="{}", time_us=1_000
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def stored(store: Store, *changes: dict[str, object]) -> str:
    """A run whose first commit brought these notices."""
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    notices = [notice(run.run_id, **each) for each in changes]
    store.commit(replace(batch(epoch, run, first=1, last=2), notices=notices))
    return run.run_id


def test_a_notice_is_taken_by_one_until_its_time_is_over(
    store: Store, open_another: Callable[[], Store]
) -> None:
    stored(store, {"payload": '{"a":1}'})
    (taken,) = store.take_notices(1_000, 1_000 + MINUTE_US, 10)
    assert (taken.payload, taken.channel, taken.attempts) == ('{"a":1}', "ops", 0)
    assert store.next_notice_us() == 1_000 + MINUTE_US
    another = open_another()
    assert another.take_notices(MINUTE_US, 2 * MINUTE_US, 10) == []
    assert another.take_notices(1_000 + MINUTE_US, 3 * MINUTE_US, 10) == [taken]


def test_the_oldest_are_taken_first_and_no_more_than_asked_for(store: Store) -> None:
    stored(store, {"seq": 3, "time_us": 30}, {"seq": 1, "time_us": 10}, {"seq": 2, "time_us": 20})
    assert [each.seq for each in store.take_notices(25, MINUTE_US, 1)] == [1]
    assert [each.seq for each in store.take_notices(25, MINUTE_US, 9)] == [2]


def test_a_fenced_owner_adds_no_notice(store: Store) -> None:
    run = submitted(store)
    epoch = store.claim_partition(run.partition, "owner")
    store.claim_partition(run.partition, "next")
    late = replace(batch(epoch, run, first=1, last=2), notices=[notice(run.run_id)])
    assert store.commit_all([late]) == {run.partition}
    assert store.next_notice_us() is None


def test_what_was_delivered_is_gone_and_what_failed_is_due_again(store: Store) -> None:
    run_id = stored(store, {"channel": "ops"}, {"channel": "mail"})
    mail, ops = sorted(store.take_notices(1_000, MINUTE_US, 10), key=lambda each: each.channel)
    store.notice_delivered(ops)
    store.notice_failed(mail, "no answer", 5_000)
    assert store.take_notices(4_999, MINUTE_US, 10) == []
    (again,) = store.take_notices(5_000, MINUTE_US, 10)
    assert (again.channel, again.attempts, again.run_id) == ("mail", 1, run_id)
    store.notice_failed(again, "still none", None)
    assert store.next_notice_us() is None
    assert store.take_notices(1_000 * MINUTE_US, 2_000 * MINUTE_US, 10) == []


def test_what_channels_have_not_accepted_is_counted(store: Store) -> None:
    stored(store, {"channel": "a"}, {"channel": "b"}, {"seq": 1, "channel": "b", "tenant": "red"})
    for each in store.take_notices(1_000, MINUTE_US, 10):
        given_up = each.channel == "a"
        store.notice_failed(each, f"{each.channel} is shut", None if given_up else 9_000)
    counted: dict[str, int] = {"given_up": 0, "waiting": 1}
    assert store.undelivered(10) == [
        Undelivered(tenant="default", channel="a", given_up=1, waiting=0, error="a is shut"),
        Undelivered(tenant="default", channel="b", error="b is shut", **counted),
        Undelivered(tenant="red", channel="b", error="b is shut", **counted),
    ]
    assert len(store.undelivered(2)) == 2


def test_notices_that_were_given_up_are_deleted_in_the_end(store: Store) -> None:
    run_id = stored(store, {"channel": "a"}, {"channel": "b"})
    first, second = store.take_notices(1_000, MINUTE_US, 10)
    store.notice_failed(first, "shut", None)
    assert store.remove_notices(1_000, 10) == []
    assert store.remove_notices(1_001, 10) == [run_id]
    assert store.remove_notices(1_001, 10) == []
    assert [each.channel for each in store.undelivered(10)] == []
    store.notice_delivered(_unchanged(second))


def _unchanged(taken: DueNotice) -> DueNotice:
    """The same notice, as a taker that was away too long still has it."""
    return replace(taken)
