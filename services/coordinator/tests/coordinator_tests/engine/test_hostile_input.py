"""Input that is wrong, odd or too large: an error that names it, never a defect."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

from kaon_coordinator.engine.actions import Continue, WriteManifests
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.messages import (
    Answer,
    Continued,
    ManifestsWritten,
    Mark,
    Message,
    Reported,
    RetryDue,
    Signal,
    Start,
    Started,
    Succeeded,
)
from kaon_coordinator.engine.rows.codec import step_row
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.rows.row_views import step_view
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.expressions import ExpressionError, Meter, evaluate
from kaon_coordinator.settings import settings_from
from kaon_coordinator.shell import requests
from kaon_coordinator.store.base import encode_event
from kaon_wire import canonical
from kaon_wire.bounds import END_OF_TIME_US, HIGHEST_PRIORITY, LONGEST_MS
from kaon_wire.definitions.validate import validate
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def error_of(driver: Driver) -> str:
    assert driver.state.error is not None
    return driver.state.error.message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_is_kept_as_it_was_reported(value: float) -> None:
    driver = Driver(workflow(chain(step("s"))), works)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s")))
    driver.tell(
        Reported(
            lease=driver.lease("s"), metric=step_pb2.StepMetric(name="loss", value=value, step=1)
        )
    )
    driver.take_over()
    assert str(driver.state.steps["s"].metrics["loss"]) == str(value)
    assert str(step_view(step_row(driver.state.steps["s"])).metrics["loss"]) == str(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 30_000 + "]" * 30_000, "nested too deeply"),
        ("[" * 101 + "]" * 101, "nested deeper than 100"),
        (r'{"a":["\ud800"]}', "half of a surrogate pair"),
        (r'"\u0000"', "NUL"),
        ("NaN", "Out of range"),
        ("1e400", "Out of range"),
        ("{", "not JSON"),
    ],
)
def test_outputs_that_cannot_be_kept_fail_their_step_and_name_it(text: str, told: str) -> None:
    reads = for_each("f", output("s"), chain(step("u")))
    driver = Driver(workflow(chain(step("s"), reads)), works)
    driver.tell(Start())
    driver.tell(Succeeded(lease=driver.lease("s"), outputs={"out": text}))
    assert driver.state.status == t.FAILED
    assert "output 'out'" in error_of(driver)
    assert told in error_of(driver)
    driver.check_replay()


def test_waits_that_would_grow_beyond_all_bounds_stay_at_the_longest() -> None:
    def behave(state):  # type: ignore[no-untyped-def]
        return failure() if state.attempt < 1_100 else {"out": 1}

    driver = Driver(workflow(chain(step("s", attempts=1_100))), behave)
    assert driver.run().status == t.SUCCEEDED
    passes = repeat("r", chain(step("s")), output("s"), 1_100, accept=True)
    passes.repeat.backoff_ms, passes.repeat.backoff_factor, passes.repeat.max_backoff_ms = 1, 2.0, 5
    driver = Driver(workflow(chain(passes)), lambda _: {"out": False})
    assert driver.run().status == t.SUCCEEDED
    assert len(driver.state.blocks["r"].cells) == 1_100


def test_a_signal_without_a_name_goes_through_no_approval() -> None:
    gate = d.Block(name="g", gate=d.Gate(approval=d.Approval(roles=["lead"])))
    driver = Driver(workflow(chain(gate)), works)
    driver.tell(Start())
    driver.tell(Signal(name="", payload_json="true", requester="anybody"))
    assert driver.state.blocks["g"].status == t.WAITING
    driver.tell(
        Answer(path="g", approved=True, comment="", requester="me", roles=frozenset({"lead"}))
    )
    assert driver.state.status == t.SUCCEEDED


def test_a_payload_or_outputs_by_hand_that_are_too_large_are_refused_with_the_limit() -> None:
    large = '"' + "x" * 70_000 + '"'
    driver = Driver(workflow(chain(step("s"))), works)
    driver.tell(Start())
    signal = driver.tell(Signal(name="go", payload_json=large, requester="me"))
    mark = Mark(path="s", status=t.SUCCEEDED, outputs={"out": large}, reason="", requester="me")
    for decided in (signal, driver.tell(mark)):
        (refused,) = decided.events
        assert (
            "70002 bytes; the limit inline_output_bytes is 65536" in refused.command_refused.problem
        )


@pytest.mark.parametrize(
    ("text", "good"), [("x" * 65_534, True), ("x" * 65_535, False), ("ä" * 40_000, False)]
)
def test_an_output_may_have_as_many_bytes_as_the_limit_says(text: str, good: bool) -> None:
    driver = Driver(workflow(chain(step("s"))), lambda _: {"out": text})
    assert driver.run().status == (t.SUCCEEDED if good else t.FAILED)
    assert good or "inline_output_bytes is 65536: use an artifact" in error_of(driver)
    assert good or "OutputTooLarge" in str(driver.state)


def test_numbers_that_are_no_whole_ones_name_their_cells() -> None:
    driver = Driver(
        workflow(chain(for_each("f", literal([1, 0.5, 1e-05, -2]), chain(step("s"))))), works
    )
    assert driver.run().status == t.SUCCEEDED
    assert set(driver.state.steps) == {"f[1]/s", "f[0.5]/s", "f[1e-05]/s", "f[-2]/s"}


def test_the_axes_of_a_sweep_may_be_called_anything() -> None:
    each = for_each("f", literal([]), chain(step("s")))
    each.for_each.ClearField("items")
    each.for_each.sweep.grid.axes["name"].CopyFrom(literal(["x", "y"]))
    each.for_each.sweep.grid.axes["size"].CopyFrom(literal([1, 2]))
    driver = Driver(workflow(chain(each)), works)
    assert driver.run().status == t.SUCCEEDED
    assert set(driver.state.steps) == {f"f[{number}]/s" for number in range(4)}


def test_a_foreach_over_more_items_than_the_limit_fails_and_names_it() -> None:
    driver = Driver(workflow(chain(for_each("f", literal([0] * 100_001), chain(step("s"))))), works)
    driver.run()
    assert "100001 items; the limit foreach_items is 100000" in error_of(driver)


@pytest.mark.parametrize("items", [7, "x", {"a": 1}, None])
def test_a_foreach_over_something_else_than_a_list_fails_and_shows_it(items: object) -> None:
    driver = Driver(workflow(chain(for_each("f", literal(items), chain(step("s"))))), works)
    driver.run()
    assert "a foreach needs a list or an artifact of JSON lines, not" in error_of(driver)


def test_an_expression_that_divides_by_zero_fails_its_step_and_tells_expression_and_values() -> (
    None
):
    quotient = d.Binding(
        expression=d.Expression(cel="x / y", variables={"x": output("a"), "y": literal(0)})
    )
    driver = Driver(workflow(chain(step("a"), step("b", q=quotient))), works, evaluate=evaluate)
    driver.run()
    assert driver.state.steps["b"].status == t.FAILED
    for told in ("b:", "'x / y'", '{"x":1,"y":0}', "ivi"):
        assert told in error_of(driver)
    driver.check_replay()


@pytest.mark.parametrize("place", ["until", "case", "items", "timer", "output", "axis"])
def test_an_expression_that_fails_anywhere_fails_its_block_with_the_text(place: str) -> None:
    bad = d.Binding(expression=d.Expression(cel="x / 0", variables={"x": literal(1)}))
    axis = for_each("f", literal([]), chain(step("s")))
    axis.for_each.ClearField("items")
    axis.for_each.sweep.grid.axes["a"].CopyFrom(bad)
    blocks = {
        "until": repeat("r", chain(step("s")), bad),
        "case": d.Block(
            name="b", branch=d.Branch(cases=[d.Case(condition=bad, body=chain(step("s")))])
        ),
        "items": for_each("f", bad, chain(step("s"))),
        "timer": d.Block(name="g", gate=d.Gate(timer=d.TimerGate(after_ms=bad))),
        "output": step("s"),
        "axis": axis,
    }
    definition = workflow(chain(blocks[place]))
    if place == "output":
        definition.outputs["given"].type = d.VALUE_TYPE_ANY
        definition.outputs["given"].value.CopyFrom(bad)
    driver = Driver(definition, works, evaluate=evaluate)
    driver.run()
    assert driver.state.status == t.FAILED
    assert "'x / 0' over" in error_of(driver)
    driver.check_replay()


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (
            d.Block(name="g", gate=d.Gate(timer=d.TimerGate(after_ms=literal(1)), timeout_ms=5)),
            "no time-out",
        ),
        (d.Block(name="g", gate=d.Gate(signal=d.SignalGate())), "needs the signal's name"),
        (
            d.Block(name="s", step=d.Step(type="x", retry=d.RetryPolicy(backoff_factor=math.nan))),
            "the factor and the longest wait",
        ),
        (
            d.Block(name="s", step=d.Step(type="x", retry=d.RetryPolicy(backoff_factor=-1))),
            "the factor and the longest wait",
        ),
    ],
)
def test_what_cannot_work_is_told_at_registration(block: d.Block, text: str) -> None:
    assert text in "\n".join(validate(workflow(chain(block))))


def test_a_range_without_bound_is_told_at_registration() -> None:
    each = for_each("f", literal([]), chain(step("s")))
    each.for_each.ClearField("items")
    each.for_each.sweep.random.count = 1
    each.for_each.sweep.random.axes["a"].uniform.high = math.inf
    assert "a range goes from low to high" in "\n".join(validate(workflow(chain(each))))


def test_blocks_beyond_the_nesting_limit_are_told_and_not_looked_into() -> None:
    body = chain(step("s", x=d.Binding(item="item")))
    for level in range(20):
        body = chain(for_each(f"f{level}", literal([1]), body))
    assert validate(workflow(body)) == ["f3: nested deeper than the limit nesting_depth of 16"]


def reporting(limits: Limits, attempts: int = 1) -> Driver:
    """A step that runs."""
    driver = Driver(workflow(chain(step("s", attempts=attempts))), works)
    driver.limits = limits
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s")))
    return driver


def report(driver: Driver, name: str) -> None:
    driver.tell(Reported(lease=driver.lease("s"), metric=step_pb2.StepMetric(name=name, value=1.0)))


def test_a_step_that_reports_more_metrics_than_allowed_fails_and_its_holder_is_stopped() -> None:
    driver = reporting(Limits(metric_names=2))
    for name in ("a", "b", "a"):
        report(driver, name)
    assert driver.state.steps["s"].status == t.RUNNING
    report(driver, "c")
    assert "'c' is one metric more than the limit metric_names, which is 2" in error_of(driver)
    assert driver.state.steps["s"].metrics.keys() == {"a", "b"}
    assert [revoke.issue.path for revoke in driver.revoked] == ["s"]
    driver.check_replay()


def test_a_metric_whose_name_is_too_long_fails_its_step_with_the_limit() -> None:
    driver = reporting(Limits())
    report(driver, "x" * 200)
    report(driver, "x" * 201)
    assert "201 characters; the limit metric_name_characters is 200" in error_of(driver)


def test_a_step_that_reports_without_end_fails_with_the_limit() -> None:
    driver = reporting(Limits(metric_reports=3))
    for _ in range(4):
        report(driver, "loss")
    assert "3 metrics were reported; the limit metric_reports is 3" in error_of(driver)


def test_a_checkpoint_that_is_too_large_fails_the_attempt_and_the_next_one_begins_with_the_last_good_one() -> (
    None
):
    driver = reporting(Limits(checkpoint_bytes=10), attempts=2)
    driver.tell(Reported(lease=driver.lease("s"), checkpoint_json='"12345678"'))
    driver.tell(Reported(lease=driver.lease("s"), checkpoint_json='"1234567\u00e9"'))
    (retry,) = driver.retries
    driver.now_us = retry.due_us
    driver.tell(RetryDue(issue=retry.issue))
    failed = driver.state.steps["s"]
    assert failed.status == t.READY
    assert failed.error is not None
    assert "a checkpoint has 11 bytes; the limit checkpoint_bytes is 10" in failed.error.message
    assert failed.checkpoint_json == '"12345678"'


def test_an_exclusive_step_that_exceeds_a_limit_waits_until_its_holder_must_have_stopped() -> None:
    block = step("s", attempts=2)
    block.step.exclusive = True
    driver = Driver(workflow(chain(block)), works)
    driver.limits = Limits(metric_names=0)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("s")))
    report(driver, "a")
    assert driver.state.steps["s"].grant_us >= driver.now_us + driver.limits.exclusive_wait_us


@pytest.mark.parametrize(
    "cel",
    [
        "x.filter(a, x.exists(b, b == a)).size() > 0",
        "y.map(a, y.map(b, y.map(c, a + b + c)))",
        "[1].map(a, [a] + [a])" + ".map(a, a + a)" * 30,
        "range(30000000)",
        "range(2000).map(a, t).join('')",
        "t.replace('x', t)",
        "t.split('').sort().map(a, t.split(a))",
        "y.map(a, y).map(a, a + y).map(a, y.map(b, a)).flatten().flatten().map(c, y)",
        "y.all( a, y . all (b, y.all(c, y.all(d, true))))",
        " + ".join(["t"] * 1_000),
        " + ".join(["x"] * 100),
        "range(500).map(a, t)",
        "x.map(a, x)",
        "range(2000).all(a, t + t != t)",
        "x.map(a, t.matches('(a?){100}x'))",
    ],
)
def test_an_expression_that_costs_too_much_is_stopped(cel: str) -> None:
    values = {"x": list(range(7_000)), "y": list(range(200)), "t": "x" * 250_000}
    with pytest.raises(ExpressionError, match=r"the limit cel_cost is 20000000"):
        evaluate(cel, values)


@pytest.mark.parametrize(
    ("cel", "values", "told"),
    [
        ("xs[0]", {"xs": []}, "the list has no index 0: it has 0 items"),
        ("m.loss", {"m": {}}, "there is no key 'loss'"),
        ("m['loss']", {"m": {}}, "there is no key 'loss'"),
        ("y", {}, "'y'"),
        ("x + 1", {"x": 2**63 - 1}, "overflow"),
        ("x + 1", {"x": 2**70}, ""),
        ("int(x)", {"x": 1e300}, "overflow"),
        ("x % y", {"x": 1, "y": 0}, "zero"),
        ("x.matches(x)", {"x": "y" * 250_000}, "pattern"),
        ("x.matches('(a?){100}{100}')", {"x": "y"}, "pattern"),
    ],
)
def test_whatever_an_expression_does_it_gives_a_value_or_an_error_of_its_run(
    cel: str, values: dict[str, object], told: str
) -> None:
    with pytest.raises(ExpressionError) as error:
        evaluate(cel, values)
    assert repr(cel) in str(error.value)
    assert told in str(error.value)


def test_what_a_turn_may_evaluate_is_bounded_and_the_rest_follows_in_later_turns() -> None:
    count, limit = 12, 4_000_000
    heavy = d.Binding(
        expression=d.Expression(
            cel="size(x.map(a, x.all(b, b >= 0)))", variables={"x": literal(list(range(150)))}
        )
    )
    body = chain(step("s", x=heavy), repeat("r", chain(step("u")), heavy_condition(), 2))
    turns: list[Meter] = []

    class Metered(Driver):
        def context(self) -> Context:
            turns.append(Meter(limit))
            return replace(super().context(), evaluate=turns[-1], meter=turns[-1])

    driver = Metered(workflow(chain(for_each("f", literal(list(range(count))), body))), works)
    assert driver.run().status == t.SUCCEEDED
    assert max(meter.cost for meter in turns) < limit // 4 + 2_000_000
    assert sum(meter.cost for meter in turns) > count * 1_000_000
    assert all(step.inputs.get("x", "150") == "150" for step in driver.state.steps.values())
    driver.check_replay()


class Owner(Driver):
    """An owner whose turns may evaluate nothing while they are `spent`: what it leaves for later ones is noted, and not done."""

    spent = False

    def __post_init__(self) -> None:
        self.left: list[str] = []
        super().__post_init__()

    def context(self) -> Context:
        meter = Meter(0 if self.spent else Limits().cel_cost)
        return replace(super().context(), evaluate=meter, meter=meter)

    def tell(self, message: Message) -> Decision:
        if self.spent and isinstance(message, Continued):
            self.left.append(message.path)
            return Decision(state=self.state, context=self.context())
        return super().tell(message)


@pytest.mark.parametrize(
    ("place", "left"),
    [("until", "r"), ("until in a cell", "f[1]/r"), ("case", "b"), ("input", "u"), ("items", "f")],
)
def test_what_an_owner_has_left_for_a_later_turn_its_successor_does(place: str, left: str) -> None:
    one = d.Binding(expression=d.Expression(cel="[1]"))
    blocks = {
        "until": repeat("r", chain(step("u")), heavy_condition(), 2),
        "until in a cell": for_each(
            "f", literal([1]), chain(repeat("r", chain(step("u")), heavy_condition(), 2))
        ),
        "case": d.Block(
            name="b",
            branch=d.Branch(cases=[d.Case(condition=heavy_condition(), body=chain(step("u")))]),
        ),
        "input": step("u", x=one),
        "items": for_each("f", one, chain(step("u"))),
    }
    driver = Owner(workflow(chain(step("s"), blocks[place], step("z"))), works)
    driver.tell(Start())
    if place.startswith("until"):
        driver.execute(driver.take())
    driver.spent = True
    driver.execute(driver.take())
    assert driver.left == [left]
    assert not driver.requested
    # Its successor knows the rows only.
    driver.take_over()
    driver.spent = False
    for action in derive(driver.state, now_us=driver.now_us):
        assert isinstance(action, Continue)
        driver.tell(Continued(path=action.path))
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


@pytest.mark.parametrize("since", [0, 1_800_000_000_000_000, END_OF_TIME_US])
@pytest.mark.parametrize("wait", [0, 1, LONGEST_MS * 1000, 2**62, 2**63 - 1, 2**80])
def test_no_time_is_later_than_the_end_of_time(since: int, wait: int) -> None:
    assert since <= later_us(since, wait) <= END_OF_TIME_US
    history_pb2.PassScheduled(due_us=later_us(since, wait))


@pytest.mark.parametrize(
    ("own", "runs", "told"),
    [
        (2**31 - 1, 1, 2**31 - 1),
        (-(2**31), -1, -(2**31) + 1),
        (2**31 - 1, -(2**31), -1),
        (HIGHEST_PRIORITY, HIGHEST_PRIORITY, 2 * HIGHEST_PRIORITY),
    ],
)
def test_a_priority_is_as_high_as_a_request_can_say(own: int, runs: int, told: int) -> None:
    block = step("s")
    block.step.priority = own
    driver = Driver(workflow(chain(step("s"))), works)
    driver.tell(Start())
    state, ready = driver.state, driver.state.steps["s"]
    state.priority, ready.block = runs, block
    request = requests.step_request(state, ready, partition=0, epoch=1)
    assert request.priority == told


def test_inputs_that_no_record_holds_together_travel_as_artifacts() -> None:
    inputs = {f"x{number}": literal("\u00e4" * (20_000 + number)) for number in range(16)}
    driver = Driver(workflow(chain(step("s", **inputs))), works)
    driver.tell(Start())
    (write,) = driver.asked(WriteManifests)
    # The largest, and no more than necessary.
    assert set(write.values) == {f"x{number}" for number in range(13, 16)}
    kept = dict.fromkeys(write.values, '{"artifact":{"digest":"sha256:0","uri":"file:///x"}}')
    driver.tell(ManifestsWritten(path="s", asked=write.asked, inputs=kept))
    ready = driver.state.steps["s"]
    assert ready.status == t.READY
    assert (
        requests.step_request(driver.state, ready, partition=0, epoch=1).ByteSize()
        < requests.RECORD_BYTES
    )
    assert max(len(encode_event(event).data) for event in driver.history) < requests.RECORD_BYTES


def test_inputs_that_are_too_many_even_as_artifacts_fail_their_step_with_the_limit() -> None:
    inputs = {f"x{number}": literal("x" * 400) for number in range(2_000)}
    driver = Driver(workflow(chain(step("s", **inputs))), works)
    assert driver.run().status == t.FAILED
    assert "2000 inputs have" in error_of(driver)
    assert "the limit inputs_bytes is 524288" in error_of(driver)


def test_outputs_that_no_record_holds_together_fail_their_step_with_the_limit() -> None:
    block = step("s")
    names = [f"o{number}" for number in range(10)]
    for name in names:
        block.step.outputs[name] = d.VALUE_TYPE_ANY
    del block.step.outputs["out"]
    driver = Driver(workflow(chain(block)), lambda _: dict.fromkeys(names, "x" * 60_000))
    assert driver.run().status == t.FAILED
    assert "all outputs have 600040 bytes; the limit outputs_bytes is 524288" in error_of(driver)


def test_outputs_of_a_run_that_no_record_holds_together_fail_it_with_the_limit() -> None:
    definition = workflow(chain(step("s")))
    for number in range(10):
        definition.outputs[f"o{number}"].type = d.VALUE_TYPE_ANY
        definition.outputs[f"o{number}"].value.CopyFrom(output("s"))
    driver = Driver(definition, lambda _: {"out": "x" * 60_000})
    assert driver.run().status == t.FAILED
    assert "the limit outputs_bytes is 524288" in error_of(driver)


def test_an_item_that_is_too_large_fails_its_foreach_with_the_limit() -> None:
    driver = Driver(
        workflow(chain(for_each("f", literal([1, "x" * 300_000]), chain(step("s"))))), works
    )
    assert driver.run().status == t.FAILED
    assert "item 1 has 300002 bytes; the limit item_bytes is 262144" in error_of(driver)


def test_what_would_travel_with_a_step_is_bounded_at_registration() -> None:
    block = step("s", x=literal("x" * 300_000))
    assert validate(workflow(chain(block))) == []
    block.step.config_json = canonical.dumps("x" * 300_000)
    (told,) = validate(workflow(chain(block)))
    assert told.startswith("s: the step has 3000")
    assert "the limit step_bytes is 262144" in told
    gate = d.Gate(signal=d.SignalGate(name="go"), default_json=canonical.dumps("x" * 70_000))
    (told,) = validate(workflow(chain(d.Block(name="g", gate=gate))))
    assert told == "g: the default has 70002 bytes; the limit inline_output_bytes is 65536"


def heavy_condition() -> d.Binding:
    values = {"x": literal(list(range(150)))}
    cel = "size(x.map(a, x.all(b, b >= 0))) > 0"
    return d.Binding(expression=d.Expression(cel=cel, variables=values))


def test_the_expressions_of_one_step_are_bounded_together() -> None:
    one = d.Expression(cel="x.map(a, a + 1)", variables={"x": literal(list(range(3_000)))})
    block = step("s", **{f"i{number}": d.Binding(expression=one) for number in range(20)})
    meter = Meter(2_000_000)
    driver = Driver(workflow(chain(block)), works, evaluate=meter)
    driver.run()
    assert "the limit cel_cost is 2000000" in error_of(driver)


def test_expressions_of_usual_size_are_evaluated() -> None:
    values = {"x": [{"name": str(number), "score": number} for number in range(1_000)]}
    assert (
        evaluate("x.filter(a, a.score > 990).map(a, a.name + '(+' + 'x.map(' + a.name)", values)[0]
        == "991(+x.map(991"
    )
    assert evaluate("x.all(a, a.name.matches('^[0-9]{1,4}$'))", values) is True
    assert evaluate("x.all(a, a.score >= 0) && x.exists(a, a.name == '7')", values) is True


def test_limits_are_set_by_their_names() -> None:
    limits = settings_from({"KAON_LIMITS": "foreach_items=7, cel_cost=9"}).limits
    assert limits == Limits(foreach_items=7, cel_cost=9)
    for bad, told in (
        ("items=1", "there is no limit 'items'"),
        ("iterations=0", "above 0"),
        ("iterations", "above 0"),
    ):
        with pytest.raises(InvalidValue, match=f"KAON_LIMITS: .*{told}"):
            settings_from({"KAON_LIMITS": bad})


def test_pools_of_the_deployment_have_names_that_topics_can_have() -> None:
    assert settings_from({"KAON_POOLS": "default, gpu_a100"}).catalogue.pools == (
        "default",
        "gpu_a100",
    )
    with pytest.raises(InvalidValue, match="KAON_POOLS: 'a b' is no name of a pool: use letters"):
        settings_from({"KAON_POOLS": "default, a b"})


def test_every_limit_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[5] / "docs" / "operations.md").read_text()
    for each in fields(Limits):
        assert f"| `{each.name}` |" in text


def test_an_error_text_keeps_its_beginning_and_its_details_their_end() -> None:
    long = failure("m" * 10_000)
    long.type = "t" * 10_000
    long.details = "first" + "d" * 10_000 + "last"
    driver = Driver(workflow(chain(step("s"))), lambda _: long)
    driver.run()
    kept = driver.state.steps["s"].error
    assert kept is not None
    assert len(kept.type) == 200
    assert len(kept.message) == len(kept.details) == Limits().error_bytes
    assert kept.details.endswith("last")
