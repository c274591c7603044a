"""Chains that go on before they end: at which steps the engine offers further ones, and what it offers."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import EndChain, RequestStep
from kaon_coordinator.engine.messages import Lease, Pause, SetBreakpoint, Start, Started, Succeeded
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.steps.succession import (
    LONGEST_EXTENSION,
    RENEWED_EVERY,
    RENEWED_FIRST,
)
from kaon_coordinator.shell.effects import Effects, Watch, effects_of
from kaon_coordinator.shell.lease_book import LeaseBook
from kaon_coordinator.shell.lease_proofs import NO_PROOFS
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.shell.turn import Turn
from kaon_wire.successions import LONGEST_CHAIN, inputs_digest
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, output, step
from .driver import Driver


class _Chain:
    """A chain of steps, each with the output of the one before, at a runner that goes on by itself."""

    def __init__(self, length: int) -> None:
        blocks = [step("s0"), *(step(f"s{n}", x=output(f"s{n - 1}")) for n in range(1, length))]
        definition = d.WorkflowDefinition(name="w", body=chain(*blocks))
        self.driver = Driver(definition, lambda step: {"out": None})
        self.driver.tell(Start())
        self.driver.tell(Started(lease=self.driver.lease("s0")))
        self.newest = 0

    def lease(self, number: int) -> Lease:
        issue = self.driver.state.steps["s0"].issue._replace(path=f"s{number}")
        succession = inputs_digest({"x": f"{number - 1}"}) if number else b""
        return Lease(issue=issue, runner_id="a", incarnation="a", succession=succession)

    def go_on(self) -> None:
        """The newest step succeeds, and its runner begins the one after it."""
        succeeded = Succeeded(lease=self.lease(self.newest), outputs={"out": f"{self.newest}"})
        self.driver.tell(succeeded)
        self.newest += 1
        self.driver.tell(Started(lease=self.lease(self.newest)))

    def effects(self, *paths: str) -> Effects:
        """The effects of a turn in which steps became READY."""
        actions = [(self.driver.state, RequestStep(path=path)) for path in paths]
        turn = Turn(context=self.driver.context(), actions=list(actions))
        watch = Watch(leases=LeaseBook(), timers=Timers(), proofs=NO_PROOFS)
        return effects_of(turn, watch, partition=0, epoch=3, now=0.0)

    def held(self, *paths: str) -> step_pb2.StepHeld:
        (held,) = self.effects(*paths).held["default"]
        return held


def _until(number: int, length: int = 40) -> _Chain:
    steps = _Chain(length)
    for _ in range(number):
        steps.go_on()
    return steps


def _offered(held: step_pb2.StepHeld) -> list[step_pb2.Successor]:
    return list(step_pb2.ChainExtension.FromString(held.chain).successors)


def _paths(held: step_pb2.StepHeld) -> list[str]:
    return [each.request.key.path for each in _offered(held)]


def test_long_before_a_chain_ends_the_engine_offers_further_steps() -> None:
    steps = _until(RENEWED_FIRST)
    held = steps.held(f"s{RENEWED_FIRST}")
    after = range(RENEWED_FIRST + 1, RENEWED_FIRST + LONGEST_EXTENSION)
    assert _paths(held) == [f"s{number}" for number in after]
    first, second, *_ = _offered(held)
    assert (first.request.partition, first.request.epoch) == (0, 3)
    assert {each.request.key.generation for each in _offered(held)} == {held.key.generation}
    # The step that is held is step 0.
    assert [first.inputs["x"].step, second.inputs["x"].step] == [0, 1]


def test_steps_between_offer_nothing() -> None:
    steps = _Chain(64)
    offers = []
    for number in range(1, 33):
        steps.go_on()
        if steps.held(f"s{number}").chain:
            offers.append(number)
    assert offers == list(range(RENEWED_FIRST, 33, RENEWED_EVERY))


def test_a_runner_has_as_many_steps_left_at_each_renewal() -> None:
    steps = _Chain(64)
    reached, left = LONGEST_CHAIN - 1, []
    for number in range(1, 45):
        steps.go_on()
        if offered := _paths(steps.held(f"s{number}")):
            left.append(reached - number)
            reached = int(offered[-1].removeprefix("s"))
    # On a quiet machine eleven hops take longer than two trips through Kafka and a turn, and seven at times do not.
    assert set(left) == {11}
    assert len(left) == 6


@pytest.mark.parametrize(
    "length",
    [
        LONGEST_CHAIN,
        # The last extension reaches the chain's end.
        RENEWED_FIRST + LONGEST_EXTENSION,
    ],
)
def test_a_chain_that_a_runner_has_whole_is_not_renewed(length: int) -> None:
    steps, offers = _Chain(length), []
    reached = LONGEST_CHAIN - 1
    for number in range(1, length):
        steps.go_on()
        if offered := _paths(steps.held(f"s{number}")):
            assert reached < length - 1
            reached = int(offered[-1].removeprefix("s"))
            offers.append(number)
    assert reached == length - 1
    assert offers == ([] if length == LONGEST_CHAIN else [RENEWED_FIRST])


def test_a_step_that_ends_in_the_turn_in_which_it_began_leaves_the_renewal_to_the_next() -> None:
    steps = _until(RENEWED_FIRST + 2)
    held = steps.held(*(f"s{RENEWED_FIRST + more}" for more in range(3)))
    assert held.key.path == f"s{RENEWED_FIRST + 2}"
    assert _paths(held)[0] == f"s{RENEWED_FIRST + 3}"
    assert not steps.held(f"s{RENEWED_FIRST + 2}").chain


def test_a_run_that_is_paused_renews_nothing() -> None:
    steps = _until(RENEWED_FIRST)
    steps.driver.tell(Pause(reason="", requester="x"))
    assert not steps.held(f"s{RENEWED_FIRST}").chain


def test_a_breakpoint_ends_what_is_offered() -> None:
    steps = _until(RENEWED_FIRST)
    at = RENEWED_FIRST + 3
    steps.driver.tell(SetBreakpoint(step=f"s{at}", reason="", requester="x"))
    assert _paths(steps.held(f"s{RENEWED_FIRST}")) == [
        f"s{number}" for number in range(RENEWED_FIRST + 1, at)
    ]


def test_a_breakpoint_at_the_last_step_of_an_extension_ends_the_chain_at_its_runner() -> None:
    steps = _until(RENEWED_FIRST)
    last = f"s{RENEWED_FIRST + LONGEST_EXTENSION - 1}"
    decision = steps.driver.tell(SetBreakpoint(step=last, reason="", requester="x"))
    assert [each for each in decision.actions if isinstance(each, EndChain)]


def test_a_step_that_was_released_renews_nothing_because_its_release_had_a_chain() -> None:
    steps = _until(RENEWED_FIRST - 1)
    number = RENEWED_FIRST - 1
    steps.driver.tell(Succeeded(lease=steps.lease(number), outputs={"out": f"{number}"}))
    assert steps.driver.state.steps[f"s{RENEWED_FIRST}"].status == t.READY
    effects = steps.effects(f"s{RENEWED_FIRST}")
    assert not effects.held
    carrier = step_pb2.StepRequest.FromString(effects.requests["default"][0].chain)
    assert len(carrier.successors) == LONGEST_CHAIN - 1


def test_steps_beyond_the_first_chain_keep_the_generation_that_was_promised() -> None:
    steps = _until(39)
    last = steps.driver.state.steps["s39"]
    assert (last.status, last.generation, last.incarnation) == (t.RUNNING, 1, "a")
