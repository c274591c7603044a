"""Scripted runs of the simulation: the interleavings that must be right by name. Each raises AssertionError when it goes wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from kaon_coordinator.matching.match_effects import EndChain, Extend, Release
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaon_wire.partitioning import partition_of
from kaon_wire.successions import inputs_digest
from kaonapi.run.v1 import command_pb2, history_pb2, run_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .broker import Written
from .extensions import CHAIN_STEPS, extensions_in
from .loop import Process
from .plan import Fault, Plan, Wish
from .workflows import CHILD, TENANT, output, row
from .world import World

_Event = history_pb2.HistoryEvent
# A draw with which a submission asks for the whole workflow.
_WHOLE = 1.5e-6


def _definition(name: str = "w", tag: str = "") -> d.WorkflowDefinition:
    step = d.Step(type="python", outputs={"out": d.VALUE_TYPE_ANY}, tags=[tag] if tag else [])
    step.retry.max_attempts = 3
    return d.WorkflowDefinition(name=name, body=d.Graph(blocks=[d.Block(name="s", step=step)]))


def _plan(seed: int = 1, *, runs: int = 1, **changes: object) -> Plan:
    plan = Plan(
        seed=seed,
        coordinators=2,
        runners=2,
        slots=2,
        run_partitions=1,
        tick_seconds=0.3,
        lease_seconds=4.0,
        session_seconds=4.0,
        definitions=(_definition(),),
        wishes=tuple(Wish(at=2.0, kind="submit", run=run) for run in range(runs)),
        calm=8.0,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


class _Script:
    """A world whose steps always succeed, and what happened in it."""

    def __init__(self, plan: Plan) -> None:
        self.world = World(plan)
        self.world.behaviour.fails = self.world.behaviour.breaks = 0.0
        self.world.extensions.hostile = False
        self.told: list[tuple[float, _Event, str]] = []
        self._reactions: list[tuple[str, Callable[[_Event, str], None]]] = []
        self._fold = self.world.checks._fold
        self.world.checks._fold = self._see  # type: ignore[method-assign]

    def _see(self, event: _Event, owner: str, partition: int) -> None:
        self._fold(event, owner, partition)
        self.told.append((self.world.scheduler.now, event, owner))
        for reaction in list(self._reactions):
            if event.HasField(reaction[0]):  # type: ignore[arg-type]
                self._reactions.remove(reaction)
                reaction[1](event, owner)

    def once(self, kind: str, do: Callable[[_Event, str], None]) -> None:
        """Reacts to the first event of a kind."""
        self._reactions.append((kind, do))

    def run(self) -> None:
        violation = self.world.run()
        assert violation is None, str(violation)
        assert not self._reactions, f"never happened: {self._reactions}"

    def times(self, kind: str) -> list[float]:
        return [when for when, event, _ in self.told if event.HasField(kind)]  # type: ignore[arg-type]

    def process(self, name: str) -> Process:
        return next(process for process in self.world.processes() if process.name == name)

    def kill(self, name: str) -> None:
        """Kills a process as soon as what it does now is done."""
        self.world.scheduler.after(0.0, self.process(name).kill)


def a_holder_dies_before_a_matcher_in_another_process_hears_of_its_started() -> None:
    script = _Script(_plan())
    world = script.world
    for number in range(2):
        world.broker.blocked[topics.STEP_REQUESTS, number] = 6.0
    script.once("step_leased", lambda event, owner: script.kill(event.step_leased.incarnation))
    script.run()
    assert len(script.times("step_leased")) == 2


def a_stolen_runner_lies_about_all_steps() -> None:
    """The runs end as if it were not there: what it says starts, settles, prolongs and hands back nothing."""
    script = _Script(_plan(runs=3))
    world = script.world
    world.forger.until = 60.0
    script.run()
    assert world.forger.written > 20
    unproven = sum(
        member.coordinator.counters.unproven
        for member in world.members
        if member.coordinator is not None
    )
    assert unproven > 20
    assert len(script.times("step_leased")) == 3
    ends = [event.run_ended.status for _, event, _ in script.told if event.HasField("run_ended")]
    assert ends == [run_pb2.STATUS_SUCCEEDED] * 3


def a_stolen_runner_reports_later_generations_of_a_run_that_has_ended() -> None:
    """Nobody can check its token, so the runner that it names hears of it, and still takes the step after a retry."""
    wishes = (Wish(at=2.0, kind="submit", run=0), Wish(at=20.0, kind="retry_run", run=0))
    plan = _plan(coordinators=1, runners=1, wishes=wishes, calm=30.0)
    plan.definitions[0].body.blocks[0].step.retry.max_attempts = 1
    script = _Script(plan)
    world = script.world
    world.behaviour.fails = 1.0
    leased: list[_Event] = []

    def lie(event: _Event, owner: str) -> None:
        world.behaviour.fails = 0.0
        said = _failure_of(world, leased[0])
        said.events[0].key.generation = 9
        send = Send(topic=topics.STEP_EVENTS, partition=0, value=said.SerializeToString())
        world.scheduler.after(1.0, world.broker.append, "stolen", [send])

    script.once("step_leased", lambda event, owner: leased.append(event))
    script.once("run_ended", lie)
    script.run()
    generations = [
        event.step_leased.generation for _, event, _ in script.told if event.HasField("step_leased")
    ]
    assert generations == [1, 2]


def a_succeeded_is_lost() -> None:
    script = _Script(_plan())
    broker, append = script.world.broker, script.world.broker.append
    lost: list[str] = []

    def lossy(sender: str, sends: object) -> None:
        kept = []
        for send in sends:  # type: ignore[attr-defined]
            if send.topic == topics.STEP_EVENTS and not lost:
                said = step_pb2.StepEvents.FromString(send.value)
                if any(event.HasField("succeeded") for event in said.events):
                    lost.append(sender)
                    continue
            kept.append(send)
        append(sender, kept)

    broker.append = lossy  # type: ignore[method-assign]
    script.run()
    assert lost
    assert len(script.times("step_leased")) == 2


def a_stopped_coordinator_wakes_after_its_partition_moved() -> None:
    script = _Script(_plan(coordinators=3, calm=20.0))
    world = script.world
    world.behaviour.longest = 12.0
    stopped: list[str] = []

    def stop(event: _Event, owner: str) -> None:
        stopped.append(owner)
        index = int(owner.split("-")[1].split(".", maxsplit=1)[0])
        world.scheduler.after(
            0.0,
            world.break_something,
            Fault(at=0, kind="pause-coordinator", target=index, seconds=9.0),
        )

    script.once("step_leased", stop)
    script.run()
    later = {owner for when, _, owner in script.told if when > script.times("step_leased")[0] + 1}
    assert not later & set(stopped)


def a_broker_is_away_for_thirty_seconds() -> None:
    script = _Script(_plan(calm=40.0, runs=2))
    world = script.world
    world.behaviour.longest = 20.0
    away = Fault(at=0, kind="broker-away", seconds=30.0)
    script.once("step_leased", lambda event, owner: world.break_something(away))
    script.run()
    assert not script.times("step_lease_lost")
    assert len(script.times("step_leased")) == 2


def a_run_faults_at_its_second_decision_of_one_turn() -> None:
    """What the turn had decided for it before is taken back with it; the run is ended by what the store has."""
    submit = Wish(at=2.0, kind="submit", run=0)
    prioritize = [Wish(at=4.0, kind="set_priority", run=0, draw=0.1 * n) for n in range(10)]
    script = _Script(_plan(coordinators=1, wishes=(submit, *prioritize)))
    world = script.world
    for number in range(2):
        world.broker.blocked[topics.STEP_REQUESTS, number] = 6.0
    strike, decided_at = world.poison.strike, [0.0]

    def strike_the_second(run_id: str, place: str) -> None:
        if place == "decide":
            # A turn takes no simulated time.
            if decided_at[-1] == world.scheduler.now and not world.poison.raised:
                world.poison.arm(run_id, place)
            decided_at.append(world.scheduler.now)
        strike(run_id, place)

    world.poison.strike = strike_the_second  # type: ignore[method-assign]
    script.run()
    assert world.poison.raised, "no turn had two decisions"
    ends = [event.run_ended.status for _, event, _ in script.told if event.HasField("run_ended")]
    assert ends == [run_pb2.STATUS_FAILED]


def two_partitions_want_a_permit_of_one() -> None:
    script = _Script(
        _plan(
            runs=4,
            run_partitions=2,
            definitions=(_definition(tag="gold"),),
            coordinators=2,
            calm=8.0,
        )
    )
    script.run()
    running = 0
    for _, event, _ in script.told:
        running += event.HasField("step_leased")
        running -= event.HasField("step_ended")
        assert running <= 1, "two steps hold the one permit"
    assert len({partition_of(run, 2) for run in script.world.store.runs}) == 2


def two_partitions_want_a_permit_of_one_for_runs_that_are_opened_again() -> None:
    definition = _definition()
    definition.max_active_runs = 1
    definition.body.blocks[0].step.retry.max_attempts = 1
    wishes = [Wish(at=1.0, kind="submit", run=run) for run in range(4)]
    wishes += [Wish(at=25.0, kind="retry", run=run) for run in range(4)]
    plan = _plan(run_partitions=2, definitions=(definition,), wishes=tuple(wishes), calm=40.0)
    script = _Script(plan)
    world = script.world
    world.behaviour.fails = 1.0
    world.scheduler.at(24.0, lambda: setattr(world.behaviour, "fails", 0.0))
    # Who comes after it derives who waits.
    script.once("blocks_reset", lambda event, owner: script.kill(owner))
    script.run()
    active: set[str] = set()
    for _, event, _ in script.told:
        assert not event.HasField("blocks_reset") or event.blocks_reset.waits
        if event.HasField("run_started"):
            active.add(event.run_id)
        elif event.HasField("run_ended"):
            active.discard(event.run_id)
        assert len(active) <= 1, f"runs {active} are active at once"
    assert len(script.times("run_started")) == 8
    assert len(script.times("blocks_reset")) == 4
    assert len({partition_of(run, 2) for run in script.world.store.runs}) == 2


def an_api_dies_between_commit_and_wakeup() -> None:
    script = _Script(_plan())
    world, seen = script.world, script.world.checks.submitted
    killed: list[str] = []

    def submitted(run: object) -> None:
        seen(run)  # type: ignore[arg-type]
        if not killed:
            for member in world.members:
                if (
                    member.store is not None
                    and member.store._writing
                    and member.process is not None
                ):
                    killed.append(member.process.name)
                    script.kill(member.process.name)

    world.checks.submitted = submitted  # type: ignore[method-assign, assignment]
    script.run()
    assert killed
    assert len(world.store.runs) == 1


def _family(**changes: object) -> Plan:
    """A parent with one child, whose only step is "s"."""
    child = _definition(CHILD)
    child.outputs["result"].type = d.VALUE_TYPE_ANY
    child.outputs["result"].value.CopyFrom(output("s"))
    block = d.Block(
        name="w", sub_workflow=d.SubWorkflow(workflow=CHILD, outputs={"result": d.VALUE_TYPE_ANY})
    )
    parent = d.WorkflowDefinition(name="parent", body=d.Graph(blocks=[block]))
    plan = _plan(definitions=(child, parent), run_partitions=3, coordinators=3, **changes)
    return replace(plan, wishes=(Wish(at=2.0, kind="submit", run=0, workflow=1), *plan.wishes[1:]))


def a_child_ends_while_its_parents_owner_moves() -> None:
    script = _Script(_family())
    owners: list[str] = []
    script.once("child_run_started", lambda event, owner: owners.append(owner))
    script.once("run_ended", lambda event, owner: script.kill(owners[0]))
    script.run()
    assert len(script.times("run_ended")) == 2


def a_parents_owner_dies_between_a_retry_and_what_it_asks_about_the_child() -> None:
    wishes = (Wish(at=2.0, kind="submit", run=0), Wish(at=25.0, kind="retry_run", run=0))
    plan = _family(wishes=wishes, calm=40.0)
    body = plan.definitions[0].body
    body.blocks[0].step.retry.max_attempts = 1
    body.blocks.append(d.Block(name="last", step=body.blocks[0].step))
    body.edges.append(d.Edge(source="s", target="last"))
    script = _Script(plan)
    behaviour = script.world.behaviour
    script.once("step_ended", lambda event, owner: setattr(behaviour, "fails", 1.0))
    script.once("blocks_reset", lambda event, owner: script.kill(owner))
    script.once("blocks_reset", lambda event, owner: setattr(behaviour, "fails", 0.0))
    script.run()
    ended = [event.step_ended for _, event, _ in script.told if event.HasField("step_ended")]
    assert [each.path for each in ended] == ["s", "last", "last"]
    assert len(script.times("run_ended")) == 4
    assert len(script.world.store.runs) == 2


def a_child_that_was_retried_by_hand_fails_just_before_its_parents_retry_reaches_it() -> None:
    wishes = (
        Wish(at=2.0, kind="submit", run=0),
        Wish(at=20.0, kind="retry_child", run=0),
        Wish(at=21.0, kind="retry_run", run=0),
    )
    plan = _family(wishes=wishes, calm=40.0)
    plan.definitions[0].body.blocks[0].step.retry.max_attempts = 1
    script = _Script(plan)
    world = script.world
    world.behaviour.fails = 1.0
    held: list[_Event] = []

    def go_on(event: _Event, owner: str) -> None:
        world.behaviour.fails, world.behaviour.longest = 0.0, 200.0
        script.once("step_leased", lambda event, owner: held.append(event))

    def fail(event: _Event, owner: str) -> None:
        """The child's owner hears of the failure, and only then of the parent's wish."""
        partition = world.store.runs[held[0].run_id].record.partition
        world.broker.blocked[topics.RUN_COMMANDS, partition] = world.scheduler.now + 2.0
        world.behaviour.longest = 1.0
        said = _failure_of(world, held[0]).SerializeToString()
        world.broker.append(
            "runner", [Send(topic=topics.STEP_EVENTS, partition=partition, value=said)]
        )

    script.once("blocks_reset", go_on)
    script.once("child_run_started", lambda event, owner: script.once("child_run_started", fail))
    script.run()
    ends = [
        run_pb2.Status.Name(event.run_ended.status)
        for _, event, _ in script.told
        if event.HasField("run_ended")
    ]
    assert ends == [
        f"STATUS_{word}" for word in ("FAILED", "FAILED", "FAILED", "SUCCEEDED", "SUCCEEDED")
    ]


def _failure_of(world: World, event: _Event) -> step_pb2.StepEvents:
    """What the holder of a step says of its failure."""
    leased = event.step_leased
    key = step_pb2.StepKey(
        run_id=event.run_id, path=leased.path, attempt=leased.attempt, generation=leased.generation
    )
    world.proofs.prove(key, TENANT, leased.incarnation)
    failed = step_pb2.StepFailed(
        error=step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, message="no")
    )
    return step_pb2.StepEvents(
        runner_id=leased.runner_id,
        incarnation=leased.incarnation,
        events=[step_pb2.StepEvent(key=key, failed=failed)],
    )


def an_old_failure_comes_again_while_the_next_attempt_runs() -> None:
    script = _Script(_plan(coordinators=1, runners=1))
    world = script.world
    world.behaviour.fails = 1.0
    failed: list[Send] = []

    def keep(topic: str, partition: int, record: Written) -> None:
        if topic == topics.STEP_EVENTS and not failed:
            said = step_pb2.StepEvents.FromString(record.value)
            if any(event.HasField("failed") for event in said.events):
                failed.append(Send(topic=topic, partition=partition, value=record.value))

    def succeed_from_now_on(event: _Event, owner: str) -> None:
        world.behaviour.fails = 0.0
        script.once(
            "step_leased",
            lambda event, owner: world.scheduler.after(0.0, world.broker.append, "again", failed),
        )

    world.broker.watchers.append(keep)
    script.once("step_retry_scheduled", succeed_from_now_on)
    script.run()
    assert len(script.times("step_retry_scheduled")) == 1


def an_owner_dies_before_its_request_has_left() -> None:
    """The matcher lives on in another process, and what it knows of a step whose end it was not told hides what it misses.

    Only the next owner asks for the step: pool reports count as many steps as are READY.
    """
    for seed in range(13, 60):
        script = _Script(_after_a_large_one(seed))
        moved = _dies_between_two_steps(script)
        adopted = _times_of(script.world, "claim_partition")
        opened = _times_of(script.world, "claim_pool")
        script.run()
        ready = _when(script, "step_became_ready", "b")
        taken = _when(script, "step_leased", "b")
        settled = [when for when in adopted if ready < when < taken]
        # A matcher that is new asks by itself.
        if moved and settled and not any(ready < when < taken for when in opened):
            waited = taken - settled[-1]
            assert waited < 2.9, f"requested {waited:.1f} s after the take-over"
            return
    raise AssertionError("in no seed the owner of the run alone died")


def _after_a_large_one(seed: int) -> Plan:
    """A step that fits on no runner, and one that starts when it has ended, however."""
    blocks = []
    for name, slots in (("a", 16), ("b", 1)):
        step = d.Step(type="python", outputs={"out": d.VALUE_TYPE_ANY})
        step.resources.slots = slots
        blocks.append(d.Block(name=name, step=step))
    blocks[1].trigger = d.TRIGGER_RULE_ALL_DONE
    body = d.Graph(blocks=blocks, edges=[d.Edge(source="a", target="b")])
    wishes = (Wish(at=8.0, kind="submit", run=0, draw=_WHOLE),)
    definitions = (d.WorkflowDefinition(name="w", body=body),)
    return _plan(seed, coordinators=3, definitions=definitions, wishes=wishes, calm=25.0)


def _dies_between_two_steps(script: _Script) -> list[str]:
    """When "a" is cancelled its owner dies with what it wanted to say; returns the owner, unless it is the pool's, too."""
    world, moved = script.world, []
    broker, append = world.broker, world.broker.append

    def cancel(event: _Event, owner: str) -> None:
        stop = command_pb2.RequestRunCancel(path="a", reason="too large")
        command = command_pb2.RunCommand(run_id=event.run_id, requester="me", cancel=stop)
        client = world.client
        wish = client._insist(partial(client._command, run_id=event.run_id, command=command))
        world.scheduler.after(2.0, client.process.begin, wish)
        script.once("step_became_ready", die)

    def die(event: _Event, owner: str) -> None:
        if world.store.epochs["default"][1].split("@")[0] != owner:
            moved.append(owner)
            script.kill(owner)

    def lossy(sender: str, sends: Sequence[Send]) -> None:
        lost = sender in moved
        append(
            sender, [each for each in sends if not (lost and each.topic == topics.STEP_REQUESTS)]
        )

    broker.append = lossy  # type: ignore[method-assign]
    script.once("step_became_ready", cancel)
    return moved


def _when(script: _Script, kind: str, path: str) -> float:
    return next(
        when
        for when, event, _ in script.told
        if event.HasField(kind) and getattr(event, kind).path == path  # type: ignore[arg-type]
    )


def a_pool_moves_while_a_step_waits() -> None:
    """The new matcher asks what is READY; pool reports would show it only after twice their period."""
    for seed in range(1, 60):
        waited = _wait_for_a_moved_pool(seed)
        if waited is not None:
            assert waited < 5.0, f"released {waited:.1f} s after the pool was opened"
            return
    raise AssertionError("in no seed the pool alone moved")


def _wait_for_a_moved_pool(seed: int) -> float | None:
    """Seconds from the opening of the pool to the start of the step; None when something else moved too."""
    plan = _plan(
        seed, coordinators=3, runners=1, calm=25.0, wishes=(Wish(at=8.0, kind="submit", run=0),)
    )
    script = _Script(plan)
    world = script.world
    opened = _times_of(world, "claim_pool")
    adopted = _times_of(world, "claim_partition")
    # The only runner sleeps, so that the request is read, and its record acknowledged, before the pool moves.
    world.scheduler.at(0.5, lambda: [process.pause() for process in _runners(world)])
    world.scheduler.at(14.0, lambda: [process.resume() for process in _runners(world)])
    moved: list[str] = []

    def kill(event: _Event, owner: str) -> None:
        pool = world.store.epochs["default"][1].split("@")[0]
        if pool != owner:
            moved.append(pool)
            # After the next commit of offsets.
            world.scheduler.after(4.5, script.kill, pool)

    script.once("step_became_ready", kill)
    script.run()
    ready, taken = script.times("step_became_ready")[0], script.times("step_leased")[0]
    again = [when for when in opened if ready < when < taken]
    # An engine's owner that is new asks by itself.
    stayed = not any(ready < when < taken for when in adopted)
    return taken - again[-1] if moved and again and stayed else None


def _runners(world: World) -> list[Process]:
    return [worker.process for worker in world.workers if worker.process is not None]


def _times_of(world: World, call: str) -> list[float]:
    """When a method of the store is called."""
    times: list[float] = []
    real = getattr(world.store, call)

    def called(*arguments: object) -> object:
        times.append(world.scheduler.now)
        return real(*arguments)

    setattr(world.store, call, called)
    return times


def _chain(seed: int = 1, names: str = "abc", **changes: object) -> _Script:
    """A world in which steps follow one another at the only runner."""
    definition = row("w", names)
    wishes = (Wish(at=2.0, kind="submit", run=0, draw=_WHOLE),)
    plan = _plan(seed, definitions=(definition,), runners=1, slots=1, wishes=wishes)
    return _Script(replace(plan, **changes))  # type: ignore[arg-type]


def _told(script: _Script, kind: str, path: str) -> list[_Event]:
    found = [event for _, event, _ in script.told if event.HasField(kind)]  # type: ignore[arg-type]
    return [event for event in found if getattr(event, kind).path == path]


def _ended(script: _Script) -> bool:
    ends = [event.run_ended.status for _, event, _ in script.told if event.HasField("run_ended")]
    return ends == [run_pb2.STATUS_SUCCEEDED]


def three_steps_follow_one_another() -> None:
    script = _chain()
    script.run()
    leased = [event.step_leased for _, event, _ in script.told if event.HasField("step_leased")]
    assert [(each.path, each.succession) for each in leased] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    assert _ended(script)


def _on_success(script: _Script, do: Callable[[str], None], *, after: bool) -> None:
    """Does something about the first record with a success and the start after it, before or after the broker has it."""
    broker, append = script.world.broker, script.world.broker.append
    done: list[str] = []

    def watched(sender: str, sends: object) -> None:
        first = not done and any(_takes_over(send) for send in sends)  # type: ignore[attr-defined]
        if first:
            done.append(sender)
        if first and not after:
            do(sender)
        append(sender, sends)
        if first and after:
            do(sender)

    broker.append = watched  # type: ignore[method-assign, assignment]


def _takes_over(send: Send) -> bool:
    if send.topic != topics.STEP_EVENTS:
        return False
    events = step_pb2.StepEvents.FromString(send.value).events
    return any(event.HasField("started") and event.key.succession for event in events)


def a_runner_is_killed_when_the_broker_has_the_success_and_the_next_start() -> None:
    """The success counts; only the step that followed runs again."""
    script = _chain(runners=2)
    _on_success(script, lambda sender: script.kill(_runner_of(script, sender)), after=True)
    script.run()
    assert len(_told(script, "step_leased", "a")) == 1
    assert len(_told(script, "step_leased", "b")) == 2
    assert _ended(script)


def a_runner_is_killed_before_the_broker_has_the_success() -> None:
    """Both run again: nothing was begun that rests on a success that is lost."""
    script = _chain(runners=2)
    broker, append = script.world.broker, script.world.broker.append
    lost: list[str] = []

    def lossy(sender: str, sends: object) -> None:
        kept = list(sends)  # type: ignore[call-overload]
        taken = [send for send in kept if _takes_over(send)]
        if taken and not lost:
            lost.append(sender)
            script.kill(_runner_of(script, sender))
            kept = [send for send in kept if send not in taken]
        append(sender, kept)

    broker.append = lossy  # type: ignore[method-assign]
    script.run()
    assert lost
    assert len(_told(script, "step_leased", "a")) == 2
    assert len(_told(script, "step_leased", "b")) == 1
    assert _ended(script)


def _runner_of(script: _Script, sender: str) -> str:
    return next(process.name for process in _runners(script.world) if process.name == sender)


def the_broker_goes_away_between_two_steps() -> None:
    """No step is lost, and none begins before its predecessor's success is durable."""
    script = _chain(calm=30.0)
    away = Fault(at=0, kind="broker-away", seconds=15.0)
    _on_success(script, lambda sender: script.world.break_something(away), after=False)
    script.run()
    assert [len(_told(script, "step_leased", path)) for path in "abc"] == [1, 1, 1]
    assert _ended(script)


def the_lease_of_a_step_is_lost_while_it_ends() -> None:
    """Its runner sleeps with the success; another one runs it again, and what the first one goes on with counts for nothing."""
    script = _chain(runners=2, calm=30.0)
    world = script.world
    world.behaviour.longest = 6.0
    slept: list[Process] = []

    def sleep(event: _Event, owner: str) -> None:
        process = script.process(event.step_leased.incarnation)
        slept.append(process)
        world.scheduler.after(0.0, process.pause)
        world.scheduler.after(14.0, process.resume)

    script.once("step_leased", sleep)
    script.run()
    assert slept
    assert len(_told(script, "step_leased", "a")) == 2
    last = _told(script, "step_leased", "a")[-1].step_leased.incarnation
    followers = [_told(script, "step_leased", path)[-1].step_leased for path in "bc"]
    assert [(each.incarnation, each.succession) for each in followers] == [(last, True)] * 2
    assert _ended(script)


def a_pause_comes_between_two_steps() -> None:
    """What was begun is void, and its generation is not used again."""
    wishes = (
        Wish(at=2.0, kind="submit", run=0, draw=_WHOLE),
        Wish(at=4.0, kind="pause", run=0),
        Wish(at=20.0, kind="resume", run=0),
    )
    void = []
    for seed in range(1, 40):
        script = _chain(seed, wishes=wishes, calm=30.0)
        script.world.behaviour.longest = 4.0
        taken: list[str] = []
        _on_success(script, taken.append, after=True)
        script.run()
        assert _ended(script)
        leased = _told(script, "step_leased", "b")
        assert len(leased) == 1
        if taken and not leased[0].step_leased.succession:
            void.append(seed)
            assert leased[0].step_leased.generation > 1
    assert void, "in no seed the pause came between"


def a_runner_drains_while_a_step_runs() -> None:
    """The step ends in peace; what comes after it goes elsewhere."""
    script = _chain(runners=2, calm=20.0)
    world = script.world

    def drain(event: _Event, owner: str) -> None:
        incarnation = event.step_leased.incarnation
        record = runner_pb2.RunnerCommands(incarnation=incarnation)
        record.commands.add().drain.grace_ms = 60_000
        send = Send(
            topic=topics.RUNNER_COMMANDS,
            partition=partition_of(incarnation, world.catalogue.runner_partitions),
            value=record.SerializeToString(),
        )
        world.behaviour.longest = 30.0
        world.scheduler.after(0.0, world.broker.append, "nobody", [send])
        world.scheduler.after(5.0, setattr, world.behaviour, "longest", 3.0)

    script.once("step_leased", drain)
    script.run()
    drained = _told(script, "step_leased", "a")[0].step_leased.incarnation
    followers = [_told(script, "step_leased", path)[-1].step_leased for path in "bc"]
    assert drained not in {each.incarnation for each in followers}
    assert [each.succession for each in followers] == [False, True]
    assert _ended(script)


def a_runner_goes_on_that_did_not_hold_the_success() -> None:
    """It ran the step before, too, under the same generation, with other outputs: what it begins counts for nothing."""
    script = _chain(runners=2)
    broker, append = script.world.broker, script.world.broker.append
    told: list[str] = []

    def append_both(sender: str, sends: object) -> None:
        kept = list(sends)  # type: ignore[call-overload]
        for index, send in enumerate(kept):
            if told or not _takes_over(send):
                continue
            said = step_pb2.StepEvents.FromString(send.value)
            start = next(event for event in said.events if event.key.succession)
            said.events.remove(start)
            other = step_pb2.StepEvents(runner_id="other", incarnation="other.1", events=[start])
            other.events[0].key.succession = inputs_digest({"x": '"other.1"'})
            script.world.proofs.prove(other.events[0].key, TENANT, other.incarnation)
            told.append(sender)
            kept[index:index] = [
                replace(send, value=each.SerializeToString()) for each in (said, other)
            ]
            break
        append(sender, kept)

    broker.append = append_both  # type: ignore[method-assign]
    script.run()
    assert told
    holders = {event.step_leased.incarnation for event in _told(script, "step_leased", "b")}
    assert "other.1" not in holders, "a runner holds a step whose inputs it has made up"
    assert _ended(script)


_LONG = "abcdefghi"


def _on_extensions(script: _Script, do: Callable[[str, Send], Sequence[Send]]) -> None:
    """Replaces each record that lets a chain go on by what `do` makes of it."""
    broker, append = script.world.broker, script.world.broker.append

    def watched(sender: str, sends: Sequence[Send]) -> None:
        made = [do(sender, send) if extensions_in(send) else [send] for send in sends]
        append(sender, list(itertools.chain.from_iterable(made)))

    broker.append = watched  # type: ignore[method-assign]


def _on_lease(script: _Script, path: str, generation: int, do: Callable[[_Event], None]) -> None:
    """Reacts to the lease of one issue of a step."""

    def look(event: _Event, owner: str) -> None:
        if (event.step_leased.path, event.step_leased.generation) == (path, generation):
            do(event)
        else:
            script.once("step_leased", look)

    script.once("step_leased", look)


def _successions(script: _Script) -> list[bool]:
    """Of each lease, in order: whether the step was begun by succession."""
    leased = [event.step_leased for _, event, _ in script.told if event.HasField("step_leased")]
    return [each.succession for each in leased]


def a_long_chain_goes_on_before_it_ends() -> None:
    """Only its first step goes the whole way."""
    script = _chain(names=_LONG, calm=40.0)
    script.run()
    assert _successions(script) == [False] + [True] * 8
    assert _ended(script)


def a_chain_whose_extensions_come_twice_and_late_goes_on_once() -> None:
    script = _chain(names=_LONG, calm=40.0)
    world = script.world

    def repeat(sender: str, send: Send) -> Sequence[Send]:
        world.scheduler.after(5.0, world.extensions.append, sender, [send])
        return [send, send]

    _on_extensions(script, repeat)
    script.run()
    assert _successions(script) == [False] + [True] * 8
    assert [len(_told(script, "step_leased", path)) for path in _LONG] == [1] * 9
    assert _ended(script)


def a_chain_whose_extensions_are_lost_is_requested_where_it_ends() -> None:
    script = _chain(names=_LONG, calm=40.0)
    _on_extensions(script, lambda sender, send: ())
    script.run()
    assert _successions(script) == [place % CHAIN_STEPS != 0 for place in range(9)]
    assert _ended(script)


def who_sends_or_gets_an_extension_is_killed() -> None:
    """Whether it has left or not: every step runs to its end, and what was accepted counts once."""
    for whom, leaves in itertools.product(("sender", "runner"), (True, False)):
        script = _chain(names=_LONG, calm=40.0, runners=2)
        killed: list[str] = []

        def kill(
            sender: str,
            send: Send,
            script: _Script = script,
            whom: str = whom,
            leaves: bool = leaves,
            killed: list[str] = killed,
        ) -> Sequence[Send]:
            if killed:
                return [send]
            incarnation = step_pb2.StepReleases.FromString(send.value).incarnation
            killed.append(sender if whom == "sender" else incarnation)
            script.kill(killed[0])
            return [send] if leaves else ()

        _on_extensions(script, kill)
        script.run()
        assert killed
        assert [len(_told(script, "step_ended", path)) for path in _LONG] == [1] * 9
        assert _ended(script)


def an_extension_of_an_older_issue_comes_while_the_step_runs_again() -> None:
    """Its runner slept and lost the lease; what was meant for that lease lets nothing follow the new one."""
    for seed in range(1, 4):
        script = _chain(seed, names=_LONG, calm=60.0)
        world = script.world
        world.behaviour.longest = 6.0
        kept: list[Send] = []

        def keep(sender: str, send: Send, kept: list[Send] = kept) -> Sequence[Send]:
            # Others are lost, so that nothing else takes its place.
            if not kept and extensions_in(send)[0].key.path == "c":
                kept.append(send)
            return ()

        def sleep(event: _Event, script: _Script = script) -> None:
            process = script.process(event.step_leased.incarnation)
            script.world.scheduler.after(0.0, process.pause)
            script.world.scheduler.after(12.0, process.resume)

        def deliver(event: _Event, script: _Script = script, kept: list[Send] = kept) -> None:
            script.world.scheduler.after(0.0, script.world.extensions._append, "nobody", kept)

        _on_extensions(script, keep)
        _on_lease(script, "c", 1, sleep)
        _on_lease(script, "c", 2, deliver)
        script.run()
        assert kept
        assert _ended(script)


def another_tenant_waits_when_a_chain_would_go_on() -> None:
    """The matcher lets a chain go on where it would let one begin: not while somebody with a better claim waits."""
    for waits in (False, True):
        matcher = PoolMatcher(pool="default", epoch=1, run_partitions=1, now=0.0)
        matcher.heartbeat(_one_slot(), 0.0)
        leader, other = _request("a", "x"), _request("y", "y")
        held = step_pb2.StepHeld(key=_request("b", "x").key, incarnation="r", tenant="x")
        further = step_pb2.Successor(request=_request("c", "x"))
        held.chain = step_pb2.ChainExtension(successors=[further]).SerializeToString()
        held.leads = True
        ended = step_pb2.StepEnded(key=leader.key)
        first = step_pb2.StepRequests(pool="default", epoch=1, requests=[leader])
        matcher.requests(first, 0.0)
        effects = matcher.tick(0.0)
        if waits:
            later = step_pb2.StepRequests(pool="default", epoch=1, requests=[other])
            matcher.requests(later, 0.0)
            effects += matcher.tick(0.0)
        record = step_pb2.StepRequests(pool="default", epoch=1, ended=[ended], held=[held])
        matcher.requests(record, 0.0)
        effects += matcher.tick(0.0)
        extended = [effect for effect in effects if isinstance(effect, Extend)]
        assert len(extended) == (not waits), "a chain goes on although another tenant waits"


def _one_slot() -> runner_pb2.RunnerHeartbeat:
    capacity = d.Resources(slots=1)
    return runner_pb2.RunnerHeartbeat(
        pool="default", runner_id="r", incarnation="r", sequence=1, capacity=capacity
    )


def another_tenant_waits_while_a_chain_runs() -> None:
    """The matcher gives no successors away while somebody with a better claim waits, and ends the chain when one comes later."""
    for late in (False, True):
        matcher = PoolMatcher(pool="default", epoch=1, run_partitions=1, now=0.0)
        matcher.heartbeat(_one_slot(), 0.0)
        leader, other = _request("a", "x"), _request("y", "y")
        following = step_pb2.Successor(request=_request("b", "x"))
        leader.chain = step_pb2.StepRequest(successors=[following]).SerializeToString()
        asked = [[leader], [other]] if late else [[leader, other]]
        effects: list[object] = []
        for requests in asked:
            matcher.requests(step_pb2.StepRequests(pool="default", epoch=1, requests=requests), 0.0)
            effects += matcher.tick(0.0)
        released = [effect.tickets for effect in effects if isinstance(effect, Release)]
        allowed = [bool(ticket.allowed) for tickets in released for ticket in tickets]
        assert allowed == [late], "successors went although another tenant waits"
        ended = [effect for effect in effects if isinstance(effect, EndChain)]
        assert len(ended) == late, "the chain goes on although another tenant waits"


def _request(path: str, tenant: str) -> step_pb2.StepRequest:
    key = step_pb2.StepKey(run_id=f"run-of-{tenant}", path=path, attempt=1, generation=1)
    spec = step_pb2.StepSpec(type="python", tenant=tenant)
    return step_pb2.StepRequest(key=key, epoch=1, pool="default", spec=spec)


SCENARIOS = (
    a_run_faults_at_its_second_decision_of_one_turn,
    three_steps_follow_one_another,
    a_runner_is_killed_when_the_broker_has_the_success_and_the_next_start,
    a_runner_is_killed_before_the_broker_has_the_success,
    the_broker_goes_away_between_two_steps,
    the_lease_of_a_step_is_lost_while_it_ends,
    a_pause_comes_between_two_steps,
    a_runner_drains_while_a_step_runs,
    a_runner_goes_on_that_did_not_hold_the_success,
    another_tenant_waits_while_a_chain_runs,
    a_long_chain_goes_on_before_it_ends,
    a_chain_whose_extensions_come_twice_and_late_goes_on_once,
    a_chain_whose_extensions_are_lost_is_requested_where_it_ends,
    who_sends_or_gets_an_extension_is_killed,
    an_extension_of_an_older_issue_comes_while_the_step_runs_again,
    another_tenant_waits_when_a_chain_would_go_on,
    an_old_failure_comes_again_while_the_next_attempt_runs,
    a_holder_dies_before_a_matcher_in_another_process_hears_of_its_started,
    a_stolen_runner_lies_about_all_steps,
    a_stolen_runner_reports_later_generations_of_a_run_that_has_ended,
    a_succeeded_is_lost,
    a_stopped_coordinator_wakes_after_its_partition_moved,
    a_broker_is_away_for_thirty_seconds,
    two_partitions_want_a_permit_of_one,
    two_partitions_want_a_permit_of_one_for_runs_that_are_opened_again,
    an_api_dies_between_commit_and_wakeup,
    a_child_ends_while_its_parents_owner_moves,
    a_parents_owner_dies_between_a_retry_and_what_it_asks_about_the_child,
    a_child_that_was_retried_by_hand_fails_just_before_its_parents_retry_reaches_it,
    an_owner_dies_before_its_request_has_left,
    a_pool_moves_while_a_step_waits,
)
