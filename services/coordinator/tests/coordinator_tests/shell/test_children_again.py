"""A parent that is retried goes on with the runs of its sub-workflow blocks, if they are there and are what a new run would be."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete

from kaon_coordinator.engine.actions import PrepareChild
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.shell import deciding, queries
from kaon_coordinator.shell.continuing import hindrance
from kaon_coordinator.store.base import WorkflowRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.tables import runs
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, output, step
from ..store.build import batch, submitted
from .player import Outcome, Player, playing
from .test_effects import BAD, WAITS, ended, happened, run_of, verified, workflow
from .world import Member, World

RETRY = command_pb2.RetryRun()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, run_partitions=3)


def child(**fields: Any) -> d.WorkflowDefinition:
    result = d.Output(type=d.VALUE_TYPE_ANY, value=output("b"))
    return workflow(chain(step("a"), step("b")), "child", outputs={"result": result}, **fields)


def registered(world: World, member: Member) -> str:
    world.register(member, child())
    sub = d.SubWorkflow(workflow="child", outputs={"result": d.VALUE_TYPE_ANY})
    return world.register(member, workflow(chain(d.Block(name="w", sub_workflow=sub))))


def fails_at(*paths: str) -> Any:
    def play(request: step_pb2.StepRequest) -> Outcome:
        return BAD if request.key.path in paths else {"out": 1}

    return play


async def failed_once(world: World, member: Member, player: Player) -> str:
    """A run that has failed because its child did, whose id is returned; from now on everything succeeds."""
    world.submit_run(member, "w", registered(world, member))
    await world.until(lambda: ended(member))
    assert run_of(member).row.status == t.FAILED
    player.play = fails_at()
    return player.requests[0].key.run_id


def paths(player: Player) -> list[str]:
    return [request.key.path for request in player.requests]


def continued(member: Member) -> list[bool]:
    return [event.child_run_started.continued for event in happened(member, "child_run_started")]


async def test_a_retried_parent_goes_on_with_its_child_in_another_partition(
    world: World, member: Member
) -> None:
    async with playing(world, fails_at("b")) as player:
        run_id = await failed_once(world, member, player)
        world.command(member, "run", retry=RETRY)
        await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
    assert paths(player) == ["a", "b", "b"]
    assert {request.key.run_id for request in player.requests} == {run_id}
    assert continued(member) == [False, True]
    for each in ("run", run_id):
        verified(member, each)


async def test_a_child_that_was_deleted_is_replaced_by_a_new_run(
    world: World, member: Member
) -> None:
    async with playing(world, fails_at("b")) as player:
        run_id = await failed_once(world, member, player)
        with create_engine(world.url).begin() as connection:
            connection.execute(delete(runs).where(runs.c.run_id == run_id))
        world.command(member, "run", retry=RETRY)
        await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
    assert paths(player) == ["a", "b", "a", "b"]
    assert continued(member) == [False, False]


async def test_a_child_of_an_older_version_is_replaced_by_a_new_run(
    world: World, member: Member
) -> None:
    async with playing(world, fails_at("b")) as player:
        await failed_once(world, member, player)
        world.register(member, child(description="mended"))
        world.command(member, "run", retry=RETRY)
        await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
    assert paths(player) == ["a", "b", "a", "b"]


async def test_the_next_owner_goes_on_with_the_child_that_the_last_one_was_asked_about(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_answer, real = threading.Event(), threading.Event(), queries.hindrance

    def held_back(*arguments: Any) -> str:
        asked.set()
        may_answer.wait()
        return real(*arguments)

    async with playing(world, fails_at("b")) as player:
        await failed_once(world, member, player)
        monkeypatch.setattr(queries, "hindrance", held_back)
        world.command(member, "run", retry=RETRY)
        await world.until(asked.is_set)
        await member.transport.stop()
        may_answer.set()
        successor = Member(world, "second")
        await successor.start()
        try:
            world.clock.now += 3
            await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
        finally:
            await successor.stop()
    assert paths(player) == ["a", "b", "b"]
    assert continued(member) == [False, True]


async def test_a_parent_that_was_cancelled_goes_on_with_its_child(
    world: World, member: Member
) -> None:
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", registered(world, member))
        await world.until(lambda: player.running)
        player.end("a", {"out": 1})
        await world.until(lambda: "b" in player.running)
        request = player.running.pop("b")
        await world.until(lambda: len(happened(member, "step_leased", request.key.run_id)) == 2)
        world.command(member, "run", cancel=command_pb2.RequestRunCancel(reason="enough"))
        await world.until(lambda: happened(member, "step_stop_requested", request.key.run_id))
        world.report(request.key, partition=request.partition, stopped=step_pb2.StepStopped())
        await world.until(lambda: ended(member))
        player.play = fails_at()
        world.command(member, "run", retry=RETRY)
        await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
    assert paths(player) == ["a", "b", "b"]


async def test_a_fault_of_the_child_at_the_retry_fails_the_parent_and_lets_it_not_wait_for_ever(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deciding.message_of_command

    def faulty(command: command_pb2.RunCommand) -> Any:
        if command.retry.asked:
            raise RuntimeError("out of order")
        return real(command)

    async with playing(world, fails_at("b")) as player:
        run_id = await failed_once(world, member, player)
        monkeypatch.setattr(deciding, "message_of_command", faulty)
        world.command(member, "run", retry=RETRY)
        await world.until(lambda: happened(member, "command_refused", run_id))
        await world.until(lambda: len(happened(member, "run_ended")) == 2)
    assert run_of(member).row.status == t.FAILED
    assert "RuntimeError" in happened(member, "command_refused", run_id)[0].command_refused.problem


# --- why a child cannot go on -----------------------------------------------------------------------------------------


class Kept:
    """A store with a run "c1" of workflow "child", as it stands, and the question of its parent whether it can go on."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)

    def stands(self, fields: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        usual: dict[str, Any] = {
            "run_id": "c1",
            "workflow": "child",
            "version": "v1",
            "params": {"n": "1"},
        }
        parent = {"parent_run_id": "run", "parent_path": "w"}
        run = submitted(self.store, **(usual | parent | dict(fields)))
        epoch = self.store.claim_partition(run.partition, "me")
        self.store.commit_all([batch(epoch, run, **row)])

    def told(self, **command: Any) -> None:
        self.store.add_command("default", "c1", command_pb2.RunCommand(run_id="c1", **command), 1)

    def hindrance(self) -> str:
        state = RunState(run_id="run", workflow=compile_workflow(child(), "v1"), tenant="default")
        question = PrepareChild(
            path="w", asked=1, workflow="child", version="", params={}, continues="c1"
        )
        wanted = WorkflowRecord(
            tenant="default", name="child", version="v1", definition=child(), create_us=1
        )
        return hindrance(self.store, state, question, wanted, {"n": "1"})


@pytest.fixture
def kept(world: World) -> Iterator[Kept]:
    kept = Kept(world.url)
    yield kept
    kept.store.close()


@pytest.mark.parametrize(
    ("fields", "row", "told"),
    [
        ({}, {"status": t.CANCELLED}, ""),
        ({}, {"status": t.SUCCEEDED}, ""),
        ({}, {"status": t.RUNNING}, ""),
        ({}, {"start_us": 0}, "it never began"),
        ({}, {"status": t.CANCELLING}, "it is being cancelled"),
        ({}, {"status": t.FAILED}, "nothing in it has failed that could run again"),
        ({"params": {"n": "2"}}, {}, "its parameters are others"),
        ({"version": "v2"}, {}, "it is one of workflow child, version v2"),
        ({"parent_path": "x"}, {}, "it belongs to x of run run"),
        ({"parent_run_id": "other"}, {}, "it belongs to w of run other"),
        ({"tenant": "other"}, {}, "it is not there any more"),
    ],
)
def test_a_child_goes_on_only_in_place_of_a_run_that_would_be_the_same(
    kept: Kept, fields: dict[str, Any], row: dict[str, Any], told: str
) -> None:
    kept.stands(fields, row)
    assert kept.hindrance() == told


def test_a_child_that_is_about_to_be_cancelled_does_not_go_on(kept: Kept) -> None:
    kept.stands({}, {"status": t.RUNNING})
    kept.told(cancel=command_pb2.RequestRunCancel(path="a"))
    assert kept.hindrance() == ""
    kept.told(cancel=command_pb2.RequestRunCancel())
    assert kept.hindrance() == "it is being cancelled"
