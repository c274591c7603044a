"""Gates that take only some signals, and signals for all gates of a run."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.messages import Signal, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.expressions import evaluate
from kaon_wire import canonical
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, step, workflow
from .driver import Driver


def gate(name: str, where: str = "", *fields: d.Parameter) -> d.Block:
    asked = d.SignalGate(name="go", where_cel=where, fields=fields)
    return d.Block(name=name, gate=d.Gate(signal=asked))


def of(graph: d.Graph, *parameters: d.Parameter) -> d.WorkflowDefinition:
    definition = workflow(graph)
    definition.parameters.extend(parameters)
    return definition


def begun(definition: d.WorkflowDefinition, **params: object) -> Driver:
    driver = Driver(definition, lambda _: {"out": 1}, params, evaluate=evaluate)
    driver.tell(Start())
    return driver


def tell(driver: Driver, payload: object, *, to_all: bool = False) -> None:
    text = canonical.dumps(payload)
    driver.tell(Signal(name="go", payload_json=text, requester="me", to_all=to_all))


def taken(driver: Driver) -> dict[str, object]:
    blocks = driver.state.blocks.items()
    return {path: canonical.loads(each.outputs["payload"]) for path, each in blocks if each.outputs}


DAY = d.Parameter(name="day", type=d.VALUE_TYPE_STRING)
SAME_DAY = "payload.day == params.day"


def test_a_gate_takes_the_oldest_signal_for_which_its_condition_holds_and_leaves_the_others() -> (
    None
):
    driver = begun(of(chain(step("s"), gate("g", SAME_DAY), gate("h")), DAY), day="mon")
    # Without the field, of another day, and twice of its own.
    for payload in (1, {"day": "sun"}, {"day": "mon", "n": 1}, {"day": "mon", "n": 2}):
        tell(driver, payload)
    driver.take_over()
    driver.drain()
    assert taken(driver) == {"g": {"day": "mon", "n": 1}, "h": 1}
    kept = [canonical.loads(each.payload_json) for each in driver.state.signals["go"]]
    assert kept == [{"day": "sun"}, {"day": "mon", "n": 2}]
    driver.check_replay()


def test_a_signal_goes_to_the_first_gate_that_takes_it() -> None:
    driver = begun(of(fan(gate("g", "payload == 2"), gate("h", "payload == 1"), gate("i"))))
    for payload in (1, 3, 2):
        tell(driver, payload)
    assert taken(driver) == {"g": 2, "h": 1, "i": 3}
    assert driver.state.signals == {}
    driver.check_replay()


def test_a_signal_to_all_is_taken_by_every_gate_that_waits_and_takes_it_and_by_none_after_them() -> (
    None
):
    first = d.Block(name="u", group=d.Group(body=chain(gate("g"), gate("after"))))
    driver = begun(of(fan(first, gate("h", "payload == 1"), gate("i", "payload == 2"))))
    tell(driver, 1, to_all=True)
    assert taken(driver) == {"u/g": 1, "h": 1}
    assert driver.state.blocks["u/after"].status == t.WAITING
    assert driver.state.signals == {}
    driver.take_over()
    tell(driver, 2, to_all=True)
    assert taken(driver) == {"u/g": 1, "h": 1, "u/after": 2, "i": 2}
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_signal_to_all_is_kept_for_one_gate_where_none_waits() -> None:
    driver = begun(of(chain(step("s"), gate("g"), gate("h"))))
    tell(driver, 1, to_all=True)
    driver.drain()
    assert taken(driver) == {"g": 1}
    assert driver.state.blocks["h"].status == t.WAITING


def test_conditions_have_times_where_these_are_declared() -> None:
    since = d.Parameter(name="since", type=d.VALUE_TYPE_DATETIME)
    at = d.Parameter(name="at", type=d.VALUE_TYPE_DATETIME)
    driver = begun(
        of(chain(gate("g", "payload.at >= params.since", at)), since), since="2026-01-02T00:00:00Z"
    )
    for payload in ({"at": "2026-01-01T23:00:00Z"}, {"at": "2026-01-02T01:00:00+01:00"}):
        tell(driver, payload)
    assert taken(driver) == {"g": {"at": "2026-01-02T01:00:00+01:00"}}


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("payload.day ==", "where: expression 'payload.day =='"),
        ("params.dya == 'x'", "there is no parameter 'dya'; there are day"),
        ("payload.days == params.day", "there is no field 'days'; there are day"),
        ("params.day", ""),
        ("1", "it must be true or false, not int"),
        ("item == 1", "item"),
        ("has(payload.other) && [1].exists(params, params.x == 1)", ""),
    ],
)
def test_what_is_wrong_with_a_condition_is_told_before_a_run(where: str, problem: str) -> None:
    found = validate(of(chain(gate("g", where, DAY)), DAY))
    assert (problem in found[0]) if problem else found == []
    assert all(each.startswith("g: where: ") for each in found)
