"""Permits: never more than the bound, first come first served within a priority."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import pytest

from kaon_coordinator.store.base import (
    Fenced,
    Holder,
    PartitionBatch,
    PermitRecord,
    PermitWish,
    Store,
)
from kaon_coordinator.store.records import Held
from kaon_coordinator.store.strategies import Refusal, Turn, Wait
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import submitted

OWNERS = 4
ROUNDS = 30


def wish(name: str, *keys: str, **changes: object) -> PermitWish:
    """A step that wants permits."""
    holder = Holder(run_id="run", path=name)
    fields: dict[str, object] = {"tenant": "default", "holder": holder, "keys": frozenset(keys)}
    return PermitWish(**(fields | changes))  # type: ignore[arg-type]


def _release(store: Store, epoch: int, *names: str, partition: int = 3) -> None:
    holders = [Holder(run_id="run", path=name) for name in names]
    store.commit(PartitionBatch(partition=partition, epoch=epoch, released=holders))


def test_no_more_than_the_bound_hold_a_key(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    assert store.set_permits("default", "tag:gpu", 2) == PermitRecord(
        key="tag:gpu", bound=2, taken=0
    )
    wishes = [wish(name, "tag:gpu") for name in "abc"]
    assert store.take_permits(3, epoch, wishes, 1) == [True, True, False]
    assert store.take_permits(3, epoch, wishes, 2) == [True, True, False], "held already"
    assert store.list_permits("default") == [PermitRecord(key="tag:gpu", bound=2, taken=2)]
    _release(store, epoch, "a")
    assert store.take_permits(3, epoch, [wishes[2]], 3) == [True]


def test_all_keys_or_none(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    for key in ("tag:a", "tag:b"):
        store.set_permits("default", key, 1)
    assert store.take_permits(3, epoch, [wish("x", "tag:b")], 1) == [True]
    assert store.take_permits(3, epoch, [wish("y", "tag:a", "tag:b")], 1) == [False]
    taken = {record.key: record.taken for record in store.list_permits("default")}
    assert taken == {"tag:a": 0, "tag:b": 1}


def test_a_key_without_a_bound_is_free_and_counts_once_it_has_one(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    assert store.take_permits(3, epoch, [wish(name, "tag:x") for name in "abc"], 1) == [True] * 3
    assert store.list_permits("default") == []
    assert store.set_permits("default", "tag:x", 3).taken == 3
    assert store.take_permits(3, epoch, [wish("d", "tag:x")], 1) == [False]
    store.set_permits("default", "tag:x", 0)
    assert store.take_permits(3, epoch, [wish("d", "tag:x")], 1) == [True]


def test_a_bound_that_comes_with_the_wish_counts_where_none_is_set(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    wishes = [wish(name, "workflow:w", bounds={"workflow:w": 1}) for name in "ab"]
    assert store.take_permits(3, epoch, wishes, 1) == [True, False]


def test_tenants_do_not_share_keys(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    for tenant in ("default", "other"):
        store.set_permits(tenant, "tag:x", 1)
    wishes = [wish("a", "tag:x"), wish("b", "tag:x", tenant="other")]
    assert store.take_permits(3, epoch, wishes, 1) == [True, True]


def test_an_older_owner_takes_nothing(store: Store) -> None:
    old = store.claim_partition(3, "old")
    store.claim_partition(3, "new")
    with pytest.raises(Fenced):
        store.take_permits(3, old, [wish("a", "tag:x")], 1)
    assert store.set_permits("default", "tag:x", 1).taken == 0


def test_the_next_permit_goes_to_the_highest_priority_and_then_to_who_waits_longest(
    store: Store,
) -> None:
    epochs = {number: store.claim_partition(number, "me") for number in (3, 4, 5)}
    store.set_permits("default", "tag:x", 1)
    assert store.take_permits(3, epochs[3], [wish("first", "tag:x")], 10) == [True]
    late = wish("late", "tag:x", since_us=30)
    early = wish("early", "tag:x", since_us=20)
    urgent = wish("urgent", "tag:x", since_us=40, priority=5)
    for partition, each in ((3, late), (4, early), (5, urgent)):
        assert store.take_permits(partition, epochs[partition], [each], 50) == [False]
    waiting = [(urgent, 5), (early, 4), (late, 3)]
    before = "first"
    while waiting:
        _release(store, epochs[3], before)
        # The others ask before the one whose turn it is.
        for other, partition in reversed(waiting[1:]):
            assert store.take_permits(partition, epochs[partition], [other], 60) == [False]
        each, partition = waiting.pop(0)
        assert store.take_permits(partition, epochs[partition], [each], 60) == [True]
        before = each.holder.path


def test_one_that_asks_no_more_keeps_nobody_waiting(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    store.set_permits("default", "tag:x", 1)
    assert store.take_permits(3, epoch, [wish("a", "tag:x"), wish("gone", "tag:x")], 0) == [
        True,
        False,
    ]
    _release(store, epoch, "a")
    newer = wish("b", "tag:x", since_us=5)
    assert store.take_permits(3, epoch, [newer], 1_000_000) == [False]
    assert store.take_permits(3, epoch, [newer], 12_000_000) == [True]


def test_who_gives_up_waiting_keeps_nobody_waiting(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    store.set_permits("default", "tag:x", 1)
    assert store.take_permits(3, epoch, [wish("a", "tag:x"), wish("b", "tag:x")], 0) == [
        True,
        False,
    ]
    _release(store, epoch, "a", "b")
    assert store.take_permits(3, epoch, [wish("c", "tag:x", since_us=5)], 1) == [True]


def test_a_bound_holds_whatever_races(open_another: Callable[[], Store]) -> None:
    stores = [open_another() for _ in range(OWNERS)]
    for key in ("tag:a", "tag:b"):
        stores[0].set_permits("default", key, 1)
    together, inside, most = Barrier(OWNERS), Lock(), [0]
    holding: set[str] = set()

    def work(number: int) -> int:
        store, name = stores[number], f"step-{number}"
        epoch = store.claim_partition(number, "owner")
        # In both orders: the store locks keys in one order whatever the caller's.
        keys = ("tag:a", "tag:b") if number % 2 else ("tag:b", "tag:a")
        granted = 0
        together.wait()
        for moment in range(ROUNDS):
            if not store.take_permits(number, epoch, [wish(name, *keys, since_us=moment)], moment)[
                0
            ]:
                continue
            granted += 1
            with inside:
                holding.add(name)
                most[0] = max(most[0], len(holding))
            with inside:
                holding.discard(name)
            _release(store, epoch, name, partition=number)
        # Who stops asking would keep those behind it waiting.
        _release(store, epoch, name, partition=number)
        return granted

    with ThreadPoolExecutor(OWNERS) as threads:
        granted = sum(threads.map(work, range(OWNERS)))
    assert most == [1]
    # How many depends on who is first in line and how often the others ask meanwhile.
    assert granted


def test_a_high_priority_does_not_keep_others_waiting_for_ever(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    store.set_permits("default", "tag:x", 1)
    hour = 3_600_000_000
    old = wish("old", "tag:x", since_us=0)
    urgent = wish("urgent", "tag:x", since_us=hour, priority=5)
    assert store.take_permits(3, epoch, [wish("a", "tag:x"), old], hour) == [True, False]
    _release(store, epoch, "a")
    assert store.take_permits(3, epoch, [urgent], hour) == [False]
    assert store.take_permits(3, epoch, [old], hour) == [True]


def test_the_holders_of_keys_are_told(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    wishes = [
        wish("b", "lock:hall/EU", bounds={"lock:hall/EU": 4}),
        wish("a", "lock:hall/EU", bounds={"lock:hall/EU": 3}),
        wish("c", "lock:x"),
    ]
    assert store.take_permits(3, epoch, wishes, 1) == [True, True, True]
    assert store.permit_holders("default", ["lock:hall/EU", "lock:free"]) == {
        "lock:hall/EU": Held(
            holders=[Holder(run_id="run", path="a"), Holder(run_id="run", path="b")], bound=3
        )
    }
    assert store.permit_holders("other", ["lock:x"]) == {}


HALL = "lock:hall"


def _locking(name: str, limit: int, **changes: object) -> PermitWish:
    return wish(name, HALL, bounds={HALL: limit}, **changes)


def test_who_holds_a_mutex_shares_it_with_no_semaphore_of_the_same_name(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    alone, many = _locking("alone", 1), _locking("many", 3)
    assert store.take_permits(3, epoch, [alone, many], 1) == [True, False]
    assert store.take_permits(3, epoch, [alone, many], 2) == [True, False], "held already"
    _release(store, epoch, "alone")
    assert store.take_permits(3, epoch, [many, _locking("more", 2)], 3) == [True, True]
    assert store.take_permits(3, epoch, [alone, _locking("third", 3)], 4) == [False, False]
    _release(store, epoch, "more")
    assert store.take_permits(3, epoch, [alone], 5) == [False]
    _release(store, epoch, "many")
    assert store.take_permits(3, epoch, [alone], 6) == [True]


def test_a_mutex_waits_for_those_that_hold_the_semaphore_and_not_for_those_that_come(
    store: Store,
) -> None:
    epochs = {number: store.claim_partition(number, "me") for number in (3, 4)}
    assert store.take_permits(3, epochs[3], [_locking("a", 5)], 1) == [True]
    alone = _locking("alone", 1, since_us=2)
    assert store.take_permits(3, epochs[3], [alone], 2) == [False]
    later = _locking("later", 5, since_us=3)
    assert store.take_permits(4, epochs[4], [later], 3) == [False]
    _release(store, epochs[3], "a")
    assert store.take_permits(4, epochs[4], [later], 4) == [False]
    assert store.take_permits(3, epochs[3], [alone], 5) == [True]
    _release(store, epochs[3], "alone")
    assert store.take_permits(4, epochs[4], [later], 6) == [True]


def test_a_new_number_of_active_runs_counts_at_once(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    old = wish("a", "workflow:w", bounds={"workflow:w": 1})
    new = wish("b", "workflow:w", bounds={"workflow:w": 2})
    assert store.take_permits(3, epoch, [old, new], 1) == [True, True]


def test_a_child_run_takes_only_locks_that_come_after_those_around_it(store: Store) -> None:
    epoch = store.claim_partition(3, "me")
    submitted(store, run_id="top", partition=3)
    submitted(
        store, run_id="kid", partition=3, parent_run_id="top", parent_path="f[1]/sub", depth=1
    )
    submitted(store, run_id="baby", partition=3, parent_run_id="kid", parent_path="s", depth=2)

    def ask(run_id: str, path: str, name: str) -> object:
        holder = Holder(run_id=run_id, path=path)
        keys = {f"lock:{name}/1": 1}
        asked = wish("", *keys, holder=holder, bounds=keys)
        (answer,) = store.take_permits(3, epoch, [asked], 1)
        return answer

    assert ask("top", "f", "hall") is True
    assert ask("top", "beside", "zoo") is True
    assert ask("kid", "step", "room") is True
    for run_id, name in (("kid", "hall"), ("baby", "alley")):
        answer = ask(run_id, "g", name)
        assert isinstance(answer, Refusal)
        assert answer.kind == "Deadlock"
        assert "f of run top, around it, holds lock 'hall'" in answer.text
    assert ask("baby", "g", "yard") is True, "what is held beside it is not around it"


def test_a_run_of_a_workflow_with_a_strategy_stands_behind_an_earlier_one(store: Store) -> None:
    submitted(store, run_id="first", now_us=1)
    submitted(store, run_id="second", now_us=2)
    turn = Turn(workflow="nightly", strategy=d.SUBMIT_STRATEGY_SEQUENTIAL)
    assert store.standing("default", "first", turn) is None
    why = "to end, which was submitted before it"
    assert store.standing("default", "second", turn) == Wait(run_id="first", why=why)
