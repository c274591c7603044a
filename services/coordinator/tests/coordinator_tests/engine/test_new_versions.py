"""Forks into another version of the workflow: what is kept, what begins anew, and what does not fit."""

from __future__ import annotations

import random

import pytest

from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.commands.new_version import study
from kaon_coordinator.engine.commands.retry import failed_nodes
from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.messages import Cancel, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .changing import changed
from .driver import Behaviour, Driver, failure


class Player:
    """Notes which steps ran; those that are named fail."""

    def __init__(self, *bad: str) -> None:
        self.ran: list[str] = []
        self.bad = set(bad)

    def __call__(self, state: StepState) -> dict[str, object] | step_pb2.StepError:
        self.ran.append(state.path)
        return failure() if state.path in self.bad else {"out": len(self.ran)}


def done(definition: d.WorkflowDefinition, *bad: str) -> tuple[Driver, Player]:
    """An ended run in which some steps failed; in what follows none does."""
    player = Player(*bad)
    driver = Driver(definition, player)
    driver.run()
    player.ran.clear()
    player.bad.clear()
    return driver, player


def base(of: Driver, definition: d.WorkflowDefinition, events: int | None = None) -> RunState:
    return fork_state(of.replayed(events), "r2", compile_workflow(definition, "v2"))


def fork(
    of: Driver,
    definition: d.WorkflowDefinition,
    *,
    reset: tuple[str, ...] = (),
    failed: bool = True,
    events: int | None = None,
    behaviour: Behaviour | None = None,
) -> Driver:
    """The driver of a fork into another version, submitted and not begun."""
    driver = Driver(definition, behaviour or of.behaviour)
    driver.state, driver.history = base(of, definition, events), []
    driver.now_us = of.now_us + 1_000_000_000
    seq = len(of.history) if events is None else events
    told = history_pb2.RunFork(run_id="r1", seq=seq, reset=reset, failed=failed)
    submitted = history_pb2.RunSubmitted(workflow="test", version="v2", submitter="me", fork=told)
    driver.absorb(submit(driver.state, submitted=submitted, context=driver.context()))
    return driver


def finish(driver: Driver, of: Driver, events: int | None = None) -> RunState:
    """Plays the fork to its end, taken over on the way; its history and its rows must give its state."""
    driver.take_over()
    driver.tell(Start())
    driver.take_over()
    # What a new owner requests again is in the state.
    driver.drain()
    driver.take_over()
    driver.check_replay_over(base(of, driver.definition, events))
    return driver.state


def misfits(
    of: Driver, definition: d.WorkflowDefinition, *, reset: tuple[str, ...] = ()
) -> dict[str, str]:
    state = base(of, definition)
    assert state.into is not None
    chosen = [*failed_nodes(state), *(node for path in reset if (node := state.node(path)))]
    return {each.path: each.reason for each in study(state, state.into, chosen).misfits}


def configured(block: d.Block, config: str) -> d.Block:
    block.step.config_json = config
    return block


def test_the_failed_step_runs_with_the_new_definition_and_what_came_before_is_kept() -> None:
    original, player = done(workflow(chain(step("a"), step("b"), step("c"))), "b")
    fixed = workflow(chain(step("a"), configured(step("b"), '{"new":1}'), step("c")))
    assert misfits(original, fixed) == {}
    forked = fork(original, fixed)
    assert finish(forked, original).status == t.SUCCEEDED
    assert player.ran == ["b", "c"]
    assert forked.state.steps["b"].block.step.config_json == '{"new":1}'


def test_the_history_tells_the_change_and_what_began_anew() -> None:
    original, _ = done(workflow(chain(step("a"), step("b"), step("old"))), "b")
    forked = fork(original, workflow(chain(step("a"), step("b"), step("new"))))
    first, second = forked.history[:2]
    assert list(first.run_submitted.fork.reset) == ["b"]
    told = second.definition_changed
    assert (told.from_version, told.to_version) == ("v1", "v2")
    assert (list(told.paths), list(told.added), list(told.removed)) == (
        ["b"],
        ["new"],
        ["old"],
    )
    assert finish(forked, original).status == t.SUCCEEDED
    assert "old" not in forked.state.steps


def test_a_changed_block_above_does_not_fit_unless_it_begins_anew() -> None:
    original, player = done(workflow(chain(step("a"), step("b"))), "b")
    changed = workflow(chain(configured(step("a"), "[1]"), step("b")))
    assert misfits(original, changed) == {"a": "has other settings in the new version"}
    assert misfits(original, changed, reset=("a",)) == {}
    # The engine is total: it resets what does not fit.
    assert finish(fork(original, changed), original).status == t.SUCCEEDED
    assert player.ran == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: b.step.inputs["x"].CopyFrom(literal(2)), "has other inputs"),
        (lambda b: b.step.outputs.update({"more": d.VALUE_TYPE_INT}), "has other outputs"),
        (lambda b: setattr(b.step, "type", "shell"), "has other type"),
        (lambda b: setattr(b, "trigger", d.TRIGGER_RULE_ALL_DONE), "has another trigger rule"),
        (lambda b: b.start.end.SetInParent(), "has another trigger rule"),
        (lambda b: setattr(b, "phase", d.PHASE_FINALLY), "has its turn in another phase"),
        (lambda b: b.gate.timer.after_ms.CopyFrom(literal(1)), "is another kind of block"),
        (lambda b: setattr(b.step, "timeout_ms", 5), ""),
        (lambda b: setattr(b.step, "pool", "big"), ""),
        (lambda b: setattr(b.step.memo, "code_digest", "sha256:1"), ""),
        (lambda b: setattr(b, "trigger", d.TRIGGER_RULE_ALL_PASSED), ""),
    ],
)
def test_only_what_determines_results_must_be_the_same(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    original, _ = done(workflow(chain(step("a", x=literal(1)), step("b"))), "b")
    new = workflow(chain(step("a", x=literal(1)), step("b")))
    change(new.body.blocks[0])
    found = misfits(original, new)
    assert bool(found) == bool(reason)
    assert found.get("a", "").startswith(reason)
    if not reason:
        assert finish(fork(original, new), original).status == t.SUCCEEDED


def test_a_new_step_above_a_kept_one_does_not_fit_and_one_below_runs() -> None:
    original, player = done(workflow(chain(step("a"), step("b"))))
    below = workflow(chain(step("a"), step("b"), step("c")))
    assert misfits(original, below) == {}
    assert finish(fork(original, below), original).status == t.SUCCEEDED
    assert player.ran == ["c"]
    above = workflow(chain(step("z"), step("a"), step("b")))
    assert misfits(original, above) == {"a": "comes after z in the new version, which has not run"}
    player.ran.clear()
    assert finish(fork(original, above), original).status == t.SUCCEEDED
    assert player.ran == ["z", "a", "b"]


def test_a_failed_step_that_is_gone_no_longer_fails_the_run() -> None:
    original, player = done(workflow(chain(step("a"), step("b"), step("c"))), "b")
    without = workflow(chain(step("a"), step("c")))
    for failed in (False, True):
        player.ran.clear()
        assert misfits(original, without) == {}
        assert finish(fork(original, without, failed=failed), original).status == t.SUCCEEDED
        assert player.ran == ["c"]


def test_cells_that_succeeded_are_kept_and_failed_ones_get_the_new_body() -> None:
    def regions(*body: d.Block, at_once: int = 0) -> d.WorkflowDefinition:
        each = for_each("r", literal(["x", "y"]), chain(*body), tolerate=1, at_once=at_once)
        return workflow(chain(each, step("end")))

    original, player = done(regions(step("p"), step("q")), "r[y]/q")
    assert original.state.status == t.SUCCEEDED
    new = regions(step("p"), configured(step("q"), "[2]"), at_once=1)
    # q has succeeded in the other cell.
    assert misfits(original, new) == {"r[x]/q": "has other settings in the new version"}
    same = regions(step("p"), step("q"), at_once=1)
    assert misfits(original, same) == {}
    assert finish(fork(original, same), original).status == t.SUCCEEDED
    assert player.ran == ["r[y]/q", "end"]
    more = regions(step("p"), step("q"), step("s"))
    assert misfits(original, more) == {"r[x]": "has ended, and s is new in it"}
    player.ran.clear()
    assert finish(fork(original, more), original).status == t.SUCCEEDED
    assert sorted(player.ran) == ["end", "r[x]/s", "r[y]/q", "r[y]/s"]


def test_other_items_make_a_foreach_begin_anew() -> None:
    def over(items: list[str]) -> d.WorkflowDefinition:
        return workflow(fan(for_each("r", literal(items), fan(step("p")))))

    original, player = done(over(["x", "y"]), "r[y]/p")
    assert misfits(original, over(["x", "z"])) == {"r": "has other items in the new version"}
    assert finish(fork(original, over(["x", "z"])), original).status == t.SUCCEEDED
    assert sorted(player.ran) == ["r[x]/p", "r[z]/p"]


def test_a_case_that_is_gone_does_not_fit() -> None:
    def way(otherwise: d.Graph | None) -> d.WorkflowDefinition:
        return workflow(chain(branch("b", literal(False), fan(step("p")), otherwise)))

    original, _ = done(way(fan(step("q"))))
    assert set(misfits(original, way(None))) == {"b"}
    assert finish(fork(original, way(None)), original).status == t.SUCCEEDED


def test_hooks_run_again_when_a_step_of_the_body_does() -> None:
    def hooked(config: str, *more: d.Block) -> d.WorkflowDefinition:
        hook = step("tidy")
        hook.phase = d.PHASE_FINALLY
        body = chain(step("a"), configured(step("b"), config), *more)
        body.blocks.append(hook)
        return workflow(body)

    original, player = done(hooked("[1]"), "b")
    assert finish(fork(original, hooked("[2]")), original).status == t.SUCCEEDED
    assert player.ran == ["b", "tidy"]
    ended, player = done(hooked("[1]"))
    assert finish(fork(ended, hooked("[1]", step("c"))), ended).status == t.SUCCEEDED
    assert player.ran == ["c", "tidy"]


def test_a_repeat_goes_on_in_its_iteration() -> None:
    def loop(config: str) -> d.WorkflowDefinition:
        body = chain(step("p"), configured(step("q", x=output("p")), config))
        return workflow(fan(repeat("l", body, literal(True))))

    original, player = done(loop("[1]"), "l#1/q")
    assert misfits(original, loop("[2]")) == {}
    assert finish(fork(original, loop("[2]")), original).status == t.SUCCEEDED
    assert player.ran == ["l#1/q"]


def test_a_fork_of_a_run_that_had_not_begun_begins_with_the_new_version() -> None:
    original, player = done(workflow(fan(step("a"))))
    new = workflow(fan(step("z")))
    assert finish(fork(original, new, events=1), original, 1).status == t.SUCCEEDED
    assert player.ran == ["z"]


def test_a_fork_that_is_cancelled_before_it_begins_ends() -> None:
    original, player = done(workflow(chain(step("a"), step("b"))), "b")
    forked = fork(original, workflow(chain(step("a"), step("b"), step("c"))))
    forked.tell(Cancel(reason="", requester="me"))
    assert finish(forked, original).status == t.CANCELLED
    assert player.ran == []


def test_a_place_that_was_not_there_is_told() -> None:
    original, _ = done(workflow(chain(step("a"), step("b"))), "b")
    forked = fork(original, workflow(chain(step("a"), step("b"))), reset=("nowhere",))
    assert finish(forked, original).status == t.SUCCEEDED
    assert [e.command_refused.path for e in forked.history if e.HasField("command_refused")] == [
        "nowhere"
    ]


@pytest.mark.parametrize("seed", range(60))
def test_any_change_of_any_run_gives_a_run_that_ends_and_replays(seed: int) -> None:
    chance = random.Random(seed)

    def original_definition() -> d.WorkflowDefinition:
        hook = step("tidy")
        hook.phase = d.PHASE_FINALLY
        cells = for_each(
            "r", literal(["x", "y"]), chain(step("p"), step("q")), tolerate=chance.choice((0, 1))
        )
        loop = repeat("l", chain(step("u"), step("v")), literal(True))
        body = chain(step("a"), cells, loop, step("end"))
        body.blocks.append(hook)
        return workflow(body)

    shape = original_definition()
    bad = {"a", "r[y]/q", "r[x]/p", "l#1/v", "end", "tidy"}
    original, _ = done(shape, *chance.sample(sorted(bad), chance.choice((0, 1, 1, 2))))
    new = changed(shape, chance)
    events = chance.choice((None, chance.randint(2, len(original.history))))
    forked = fork(original, new, failed=chance.random() < 0.8, events=events)
    begun = {path: s.generation for path, s in forked.state.steps.items() if s.begun}
    assert finish(forked, original, events).ended
    # What was kept has not run again, and nothing is left of what the new version lacks.
    after = forked.state.steps
    assert all(
        after[path].generation == token
        for path, token in begun.items()
        if after[path].status == t.SUCCEEDED
    )
    assert {each.block.name for each in after.values()} <= set(forked.state.workflow.chains)
