"""Steps that runners start by themselves: which may, under which lease, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kaon_coordinator.engine.actions import RequestStep
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    Lease,
    LeaseExpired,
    Pause,
    Restart,
    Resume,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.engine.steps.leases import revoke_unless_current
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.effects import Watch, effects_of
from kaon_coordinator.shell.lease_book import LeaseBook
from kaon_coordinator.shell.lease_proofs import NO_PROOFS
from kaon_coordinator.shell.timers import Timers
from kaon_coordinator.shell.turn import Turn
from kaon_wire.successions import LONGEST_CHAIN, inputs_digest
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, literal, output, step
from .driver import Driver


def _element(binding: d.Binding, key: str) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=f"value[{key}]", variables={"value": binding}))


def _chain(*blocks: d.Block) -> d.WorkflowDefinition:
    return d.WorkflowDefinition(name="w", body=chain(*blocks))


def _nothing(step: StepState) -> Mapping[str, object]:
    return {"out": None}


def _started(*blocks: d.Block) -> Driver:
    driver = Driver(_chain(*blocks), _nothing)
    driver.tell(Start())
    return driver


def _offered(driver: Driver, path: str) -> list[step_pb2.Successor]:
    request = requests.step_request(driver.state, driver.state.steps[path], partition=0, epoch=1)
    return list(step_pb2.StepRequest.FromString(request.chain).successors)


def _following(
    path: str, generation: int = 1, runner: str = "a", inputs: Mapping[str, str] | None = None
) -> Lease:
    return Lease(
        issue=StepIssue(path=path, attempt=1, generation=generation),
        runner_id=runner,
        incarnation=runner,
        succession=inputs_digest(inputs or {}),
    )


def _two(driver: Driver) -> None:
    """The first step succeeds at runner a, which goes on with the second."""
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Succeeded(lease=driver.lease("a"), outputs={"out": "1"}))


def test_a_request_offers_the_chain_with_the_inputs_that_are_known_and_those_to_come() -> None:
    first = step("a", x=literal(7))
    second = step("b", y=_element(_element(output("a"), '"k"'), "0"))
    third = step("c", both=output("a"), last=output("b"))
    driver = _started(first, second, third)
    b, c = _offered(driver, "a")
    assert (b.request.key.path, b.request.key.attempt, b.request.key.generation) == ("b", 1, 1)
    assert dict(b.request.spec.inputs_json) == {}
    assert b.inputs["y"] == step_pb2.ChainOutput(output="out", keys_json=['"k"', "0"])
    assert {name: source.step for name, source in c.inputs.items()} == {"both": 0, "last": 1}


def test_a_value_from_before_the_chain_travels_with_it() -> None:
    driver = _started(step("z"), step("a"), step("b", x=output("z")))
    driver.take()
    driver.tell(Started(lease=driver.lease("z")))
    driver.tell(Succeeded(lease=driver.lease("z"), outputs={"out": '"of z"'}))
    (b,) = _offered(driver, "a")
    assert dict(b.request.spec.inputs_json) == {"x": '"of z"'}


def test_a_chain_has_at_most_sixteen_steps() -> None:
    driver = _started(*(step(f"s{index}") for index in range(30)))
    assert len(_offered(driver, "s0")) == LONGEST_CHAIN - 1


@pytest.mark.parametrize("differs", ["", "resources", "labels", "type"])
def test_a_request_says_whether_all_that_may_follow_ask_for_the_same(differs: str) -> None:
    first, second, third = step("a"), step("b"), step("c")
    if differs == "resources":
        third.step.resources.cpu_milli = 500
    elif differs == "labels":
        third.step.labels.append("spark=4")
    elif differs == "type":
        third.step.type = "shell"
    driver = _started(first, second, third)
    request = requests.step_request(driver.state, driver.state.steps["a"], partition=0, epoch=1)
    assert request.chain_alike == (not differs)
    assert len(_offered(driver, "a")) == 2


def test_a_request_that_nothing_may_follow_has_no_chain() -> None:
    driver = _started(step("a"))
    request = requests.step_request(driver.state, driver.state.steps["a"], partition=0, epoch=1)
    assert (request.chain, request.chain_alike) == (b"", False)


def _exclusive(block: d.Block) -> None:
    block.step.exclusive = True


def _tagged(block: d.Block) -> None:
    block.step.tags.append("gold")


def _memo(block: d.Block) -> None:
    block.step.memo.enabled = True


def _elsewhere(block: d.Block) -> None:
    block.step.pool = "gpu"


def _less_urgent(block: d.Block) -> None:
    block.step.priority = -1


def _computed(block: d.Block) -> None:
    expression = block.step.inputs["x"].expression
    expression.cel = "a + 1"
    expression.variables["a"].CopyFrom(output("a"))


def _told_how_it_ended(block: d.Block) -> None:
    block.step.inputs["x"].block_outcome.block = "a"


def _locked(block: d.Block) -> None:
    block.locks.add(name="one")


def _forgiving(block: d.Block) -> None:
    block.trigger = d.TRIGGER_RULE_ALL_DONE


@pytest.mark.parametrize(
    "change",
    [
        _exclusive,
        _tagged,
        _memo,
        _elsewhere,
        _less_urgent,
        _computed,
        _forgiving,
        _locked,
        _told_how_it_ended,
    ],
)
def test_what_may_not_follow(change: object) -> None:
    first, second = step("a"), step("b")
    change(second)  # type: ignore[operator]
    assert compile_workflow(_chain(first, second), "v1").root.followers == {}


def test_what_waits_for_two_follows_none() -> None:
    definition = _chain(step("a"), step("c"))
    definition.body.blocks.append(step("b"))
    definition.body.edges.append(d.Edge(source="b", target="c"))
    assert compile_workflow(definition, "v1").root.followers == {}


def test_a_success_and_the_next_start_in_one_record_make_the_runner_the_holder() -> None:
    driver = _started(step("a"), step("b", x=output("a")))
    _two(driver)
    decision = driver.tell(Started(lease=_following("b", inputs={"x": "1"})))
    assert decision.events[0].step_leased.succession
    b = driver.state.steps["b"]
    assert (b.status, b.incarnation, b.generation) == (t.RUNNING, "a", 1)


def test_a_lost_start_is_replaced_by_a_renewal() -> None:
    driver = _started(step("a"), step("b"))
    _two(driver)
    decision = Decision(state=driver.state, context=driver.context())
    assert revoke_unless_current(decision, _following("b"), queued=False)
    assert driver.state.steps["b"].status == t.RUNNING


@pytest.mark.parametrize(
    "lease",
    [
        _following("b", runner="other", inputs={"x": "1"}),
        _following("b", inputs={"x": "2"}),
        _following("b", generation=2, inputs={"x": "1"}),
    ],
)
def test_only_the_holder_of_the_success_goes_on_and_only_with_its_outputs(lease: Lease) -> None:
    driver = _started(step("a"), step("b", x=output("a")))
    _two(driver)
    driver.tell(Started(lease=lease))
    driver.tell(Succeeded(lease=lease, outputs={"out": "1"}))
    assert driver.state.steps["b"].status == t.READY
    assert [each.incarnation for each in driver.revoked] == [lease.incarnation]


def test_a_start_that_comes_while_the_run_is_paused_is_void_for_good() -> None:
    driver = _started(step("a"), step("b"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(Pause(reason="", requester="x"))
    driver.tell(Succeeded(lease=driver.lease("a"), outputs={"out": "1"}))
    driver.tell(Started(lease=_following("b")))
    assert [each.issue.path for each in driver.revoked] == ["b"]
    driver.tell(Resume(reason="", requester="x"))
    b = driver.state.steps["b"]
    assert (b.status, b.generation) == (t.READY, 2)
    driver.tell(Started(lease=_following("b")))
    assert driver.state.steps["b"].status == t.READY


def test_a_promised_generation_belongs_to_one_issue_of_the_step_before() -> None:
    driver = _started(step("a"), step("b"), step("c"))
    driver.tell(Started(lease=driver.lease("a")))
    driver.tell(LeaseExpired(issue=driver.state.steps["a"].issue))
    assert [each.request.key.generation for each in _offered(driver, "a")] == [2, 2]
    late = Lease(issue=StepIssue(path="a", attempt=1, generation=1), runner_id="a", incarnation="a")
    driver.tell(Succeeded(lease=late, outputs={"out": "1"}))
    driver.tell(Started(lease=_following("b")))
    assert driver.state.steps["b"].status == t.PENDING
    driver.tell(Started(lease=driver.lease("a", "n")))
    driver.tell(Succeeded(lease=driver.lease("a", "n"), outputs={"out": "2"}))
    b = driver.state.steps["b"]
    assert (b.status, b.generation) == (t.READY, 2)


def test_after_a_restart_no_promise_repeats_a_generation_of_what_ran_before() -> None:
    driver = _started(step("a"), step("b"), step("c"))
    _two(driver)
    for _ in range(2):
        driver.tell(Started(lease=driver.lease("b")))
        driver.tell(LeaseExpired(issue=driver.state.steps["b"].issue))
    assert driver.state.steps["b"].generation == 3
    for path in ("b", "c"):
        driver.tell(Started(lease=driver.lease(path)))
        driver.tell(Succeeded(lease=driver.lease(path), outputs={"out": "1"}))
    assert driver.state.steps["c"].generation == 3
    driver.tell(Restart(path="a", reason="", requester="x"))
    assert driver.state.steps["a"].status == t.READY
    assert {each.request.key.generation for each in _offered(driver, "a")} == {4}


def test_a_turn_tells_the_matcher_who_holds_the_step_and_requests_nothing() -> None:
    driver = _started(step("a"), step("b"))
    _two(driver)
    driver.tell(Started(lease=_following("b")))
    turn = Turn(context=driver.context(), actions=[(driver.state, RequestStep(path="b"))])
    watch = Watch(leases=LeaseBook(), timers=Timers(), proofs=NO_PROOFS)
    effects = effects_of(turn, watch, partition=0, epoch=1, now=0.0)
    assert not effects.requests
    assert [(held.key.path, held.incarnation) for held in effects.held["default"]] == [("b", "a")]


def test_a_step_that_the_run_leaves_out_ends_the_chain() -> None:
    driver = _started(step("a"), step("b"))
    driver.state.left_out = frozenset({"b"})
    assert _offered(driver, "a") == []
