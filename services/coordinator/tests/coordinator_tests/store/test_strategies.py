"""Submit strategies: runs of one workflow in order, whatever partitions and owners they have."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import Holder, PartitionBatch, PermitWish, Store
from kaon_coordinator.store.strategies import (
    ALREADY_ACTIVE,
    DEADLOCK,
    SUPERSEDED,
    Refusal,
    Turn,
    Wait,
)
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import VERSION, run_row, submitted

KEY = "strategy:nightly"
ALL = (
    d.SUBMIT_STRATEGY_SEQUENTIAL,
    d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL,
    d.SUBMIT_STRATEGY_FIRST_ONLY,
    d.SUBMIT_STRATEGY_LAST_ONLY,
    d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST,
)


class Owners:
    """The owners of some partitions; run "a" was submitted first, then "b", and so on, each in a partition of its own."""

    def __init__(self, store: Store, strategy: d.SubmitStrategy.ValueType) -> None:
        self.store = store
        self.strategy = strategy
        self.epochs = {
            number: store.claim_partition(number, f"owner-{number}") for number in range(3)
        }

    def submit(self, *names: str, **fields: object) -> None:
        for name in names:
            place = ord(name) - ord("a")
            submitted(self.store, run_id=name, partition=place, now_us=1_000 + place, **fields)

    def ask(self, name: str, *, reopened: bool = False, keys: tuple[str, ...] = (KEY,)) -> object:
        partition = ord(name) - ord("a")
        turn = self.turn(reopened=reopened)
        wish = PermitWish(
            tenant="default",
            holder=Holder(run_id=name, path=""),
            keys=frozenset(keys),
            bounds={KEY: 1},
            turn=turn,
        )
        (answer,) = self.store.take_permits(partition, self.epochs[partition], [wish], 1)
        return answer

    def turn(self, *, reopened: bool = False) -> Turn:
        return Turn(workflow="nightly", strategy=self.strategy, reopened=reopened)

    def becomes(self, name: str, status: int, **row: object) -> None:
        partition = ord(name) - ord("a")
        ended = status in t.TERMINAL
        batch = PartitionBatch(
            partition=partition,
            epoch=self.epochs[partition],
            runs=[run_row(name, status=status, **row)],
            released=[Holder(run_id=name, path="")] if ended else [],
        )
        assert not self.store.commit_all([batch])

    def commands(self, name: str) -> list[str]:
        partition = ord(name) - ord("a")
        waiting = self.store.waiting_commands(partition, name)
        return [command.cancel.reason for command in waiting if command.HasField("cancel")]


@pytest.mark.parametrize("strategy", ALL[:2])
def test_a_later_run_waits_until_every_earlier_one_has_ended(
    store: Store, strategy: d.SubmitStrategy.ValueType
) -> None:
    owners = Owners(store, strategy)
    owners.submit("a", "b", "c")
    assert owners.ask("b") is False
    assert owners.ask("a") is True
    assert owners.ask("a") is True, "held already"
    owners.becomes("a", t.RUNNING)
    assert owners.ask("c") is False
    assert store.standing("default", "c", owners.turn()) == Wait(run_id="a", why="to end")
    owners.becomes("a", t.SUCCEEDED)
    assert owners.ask("c") is False
    why = "to end, which was submitted before it"
    assert store.standing("default", "c", owners.turn()) == Wait(run_id="b", why=why)
    assert owners.ask("b") is True


def test_a_failure_holds_up_what_comes_after_it_until_it_was_mended_and_a_cancel_does_not(
    store: Store,
) -> None:
    owners = Owners(store, d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL)
    owners.submit("a", "b", "c")
    owners.becomes("a", t.FAILED)
    owners.becomes("b", t.CANCELLED)
    assert owners.ask("c") is False
    why = "to succeed, which has ended FAILED: retry it"
    assert store.standing("default", "c", owners.turn()) == Wait(run_id="a", why=why)
    owners.becomes("a", t.PENDING)
    assert owners.ask("c") is False
    assert owners.ask("a", reopened=True) is True, "it goes before those that wait"
    owners.becomes("a", t.SUCCEEDED)
    assert owners.ask("c") is True


def test_one_that_comes_while_another_is_active_is_refused_and_names_it(store: Store) -> None:
    owners = Owners(store, d.SUBMIT_STRATEGY_FIRST_ONLY)
    owners.submit("a", "b", "c")
    assert owners.ask("b") is False, "a has not begun, and goes first"
    assert owners.ask("a") is True
    text = "run a is active: the strategy of workflow nightly is first-only"
    assert owners.ask("b") == Refusal(kind=ALREADY_ACTIVE, text=text)
    assert owners.ask("c", reopened=True) is False, "what was opened again waits"
    owners.becomes("a", t.FAILED)
    owners.becomes("b", t.CANCELLED)
    assert owners.ask("c") is True


def test_the_last_one_takes_the_place_of_all_earlier_ones(store: Store) -> None:
    owners = Owners(store, d.SUBMIT_STRATEGY_LAST_ONLY)
    owners.submit("a")
    assert owners.ask("a") is True
    owners.becomes("a", t.RUNNING)
    owners.submit("b", "c")
    told = "the later run c has taken its place: the strategy of workflow nightly is last-only"
    assert owners.ask("b") == Refusal(kind=SUPERSEDED, text=told)
    for _ in range(3):
        assert owners.ask("c") is False
        assert owners.commands("a") == [told], "it is asked once"
    assert owners.commands("b") == []
    owners.becomes("a", t.CANCELLED)
    assert owners.ask("c") is False
    owners.becomes("b", t.CANCELLED)
    assert owners.ask("c") is True


def test_of_those_that_wait_for_the_active_one_only_the_last_stays(store: Store) -> None:
    owners = Owners(store, d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST)
    owners.submit("a", "b")
    assert owners.ask("a") is True, "it can begin at once, although there is a later one"
    owners.becomes("a", t.RUNNING)
    assert owners.ask("b") is False, "the only one that waits"
    owners.submit("c")
    text = (
        "the later run c has taken its place: the strategy of workflow nightly is sequential-latest"
    )
    assert owners.ask("b") == Refusal(kind=SUPERSEDED, text=text)
    assert owners.ask("b", reopened=True) is False, "what was opened again waits"
    assert owners.commands("a") == [], "the active one goes on"
    owners.becomes("b", t.CANCELLED)
    assert owners.ask("c") is False
    assert store.standing("default", "c", owners.turn()) == Wait(run_id="a", why="to end")
    owners.becomes("a", t.FAILED)
    assert owners.ask("c") is True


@pytest.mark.parametrize("strategy", ALL)
def test_two_runs_that_were_opened_again_do_not_wait_for_each_other(
    store: Store, strategy: d.SubmitStrategy.ValueType
) -> None:
    owners = Owners(store, strategy)
    owners.submit("a", "b")
    owners.becomes("a", t.PENDING)
    owners.becomes("b", t.PENDING)
    answers = {name: owners.ask(name, reopened=True) for name in "ab"}
    if strategy == d.SUBMIT_STRATEGY_LAST_ONLY:
        assert answers == {"a": False, "b": False}
        assert owners.commands("a")
        assert not owners.commands("b")
    else:
        assert answers == {"a": True, "b": False}


@pytest.mark.parametrize("strategy", ALL)
def test_a_run_inside_of_a_run_of_its_own_workflow_is_refused(
    store: Store, strategy: d.SubmitStrategy.ValueType
) -> None:
    owners = Owners(store, strategy)
    owners.submit("a")
    assert owners.ask("a") is True
    owners.becomes("a", t.RUNNING)
    owners.submit("b", workflow="between", parent_run_id="a", depth=1)
    owners.submit("c", parent_run_id="b", depth=2)
    answer = owners.ask("c")
    assert isinstance(answer, Refusal)
    assert answer.kind == DEADLOCK
    assert "its ancestor a" in answer.text
    assert owners.commands("a") == []


def test_a_strategy_and_a_backfill_do_not_hold_each_other_up(store: Store) -> None:
    owners = Owners(store, d.SUBMIT_STRATEGY_SEQUENTIAL)
    owners.submit("a", "b")
    store.set_permits("default", "backfill:x", 1)
    both = (KEY, "backfill:x")
    assert owners.ask("b", keys=both) is False
    assert owners.ask("a", keys=both) is True
    owners.becomes("a", t.SUCCEEDED)
    assert owners.ask("b", keys=both) is True


class Families:
    """Runs of two sequential workflows, in one partition; each is submitted after those before."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.epoch = store.claim_partition(0, "me")
        self.workflows: dict[str, str] = {}
        for name in ("one", "two"):
            definition = d.WorkflowDefinition(name=name, strategy=d.SUBMIT_STRATEGY_SEQUENTIAL)
            store.put_workflow("default", definition, VERSION, 1)

    def submit(self, run_id: str, workflow: str, parent: str = "") -> None:
        self.workflows[run_id] = workflow
        place = {"parent_run_id": parent, "parent_path": "sub", "depth": 1} if parent else {}
        submitted(
            self.store,
            run_id=run_id,
            workflow=workflow,
            partition=0,
            now_us=len(self.workflows),
            **place,
        )

    def ask(self, run_id: str) -> object:
        workflow = self.workflows[run_id]
        key = f"strategy:{workflow}"
        wish = PermitWish(
            tenant="default",
            holder=Holder(run_id=run_id, path=""),
            keys=frozenset([key]),
            bounds={key: 1},
            turn=Turn(workflow=workflow, strategy=d.SUBMIT_STRATEGY_SEQUENTIAL),
        )
        return self.store.take_permits(0, self.epoch, [wish], 1)[0]

    def becomes(self, run_id: str, status: int) -> None:
        released = [Holder(run_id=run_id, path="")] if status in t.TERMINAL else []
        batch = PartitionBatch(
            partition=0,
            epoch=self.epoch,
            runs=[run_row(run_id, status=status)],
            released=released,
        )
        assert not self.store.commit_all([batch])


def test_of_children_that_wait_for_each_other_the_last_one_is_refused(store: Store) -> None:
    runs = Families(store)
    for run_id, workflow in (("a", "one"), ("b", "two")):
        runs.submit(run_id, workflow)
        assert runs.ask(run_id) is True
        runs.becomes(run_id, t.RUNNING)
    runs.submit("child-of-a", "two", "a")
    assert runs.ask("child-of-a") is False, "b may end"
    runs.submit("child-of-b", "one", "b")
    assert runs.ask("child-of-a") is False, "it was submitted first"
    refused = runs.ask("child-of-b")
    assert isinstance(refused, Refusal)
    assert refused.kind == DEADLOCK
    assert "it waits for run a of workflow one" in refused.text
    assert "waits for b, which is around this one" in refused.text
    runs.becomes("child-of-b", t.FAILED)
    runs.becomes("b", t.FAILED)
    assert runs.ask("child-of-a") is True


def test_a_child_that_waits_for_a_run_which_goes_on_is_not_refused(store: Store) -> None:
    runs = Families(store)
    for run_id, workflow in (("a", "one"), ("b", "two")):
        runs.submit(run_id, workflow)
        assert runs.ask(run_id) is True
        runs.becomes(run_id, t.RUNNING)
    runs.submit("child-of-b", "one", "b")
    runs.submit("later", "two")
    assert runs.ask("later") is False
    assert runs.ask("child-of-b") is False
    runs.becomes("a", t.SUCCEEDED)
    assert runs.ask("child-of-b") is True
