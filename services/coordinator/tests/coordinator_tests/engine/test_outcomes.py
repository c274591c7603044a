"""How blocks have ended, as values of later ones; steps that ask to be skipped; retries by exit code."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaon_wire.definitions.retry_rules import matching_rule
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure
from .test_failure_policies import NESTINGS, ends, graph, group, optional, ruled

STATUS, CODE, ATTEMPTS, ERROR = (
    d.OUTCOME_FIELD_STATUS,
    d.OUTCOME_FIELD_EXIT_CODE,
    d.OUTCOME_FIELD_ATTEMPTS,
    d.OUTCOME_FIELD_ERROR,
)
DONE = d.TRIGGER_RULE_ALL_DONE


def of(block: str, field: d.OutcomeField.ValueType) -> d.Binding:
    return d.Binding(block_outcome=d.BlockOutcome(block=block, field=field))


def looking(block: str, *fields: d.OutcomeField.ValueType) -> d.Block:
    """A step that starts in any case and gets how a block has ended."""
    names = {STATUS: "status", CODE: "code", ATTEMPTS: "tries", ERROR: "error"}
    look = step("look", **{names[field]: of(block, field) for field in fields})
    look.trigger = DONE
    return look


def exits(code: int) -> step_pb2.StepError:
    return step_pb2.StepError(
        error_class=step_pb2.ERROR_CLASS_USER,
        type="ExitCode",
        message=f"the step ended with exit code {code}",
        exit_code=code,
    )


def skips(why: str) -> step_pb2.StepError:
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_SKIP, type="Skipped", message=why)


def behave(state):  # type: ignore[no-untyped-def]
    """What a step does stands in its name: "exit-3", "skip", "broken"."""
    kind, _, rest = state.block.name.partition("-")
    if kind == "exit":
        return exits(int(rest))
    if kind == "skip":
        return skips("nothing to do")
    return failure() if kind == "broken" else {"out": True}


def played(body: d.Graph) -> Driver:
    driver = Driver(workflow(body), behave)
    driver.run()
    driver.check_replay()
    driver.take_over()
    driver.check_replay()
    return driver


def seen(driver: Driver) -> dict[str, object]:
    (look,) = [each for each in driver.state.steps.values() if each.block.name == "look"]
    return {name: canonical.loads(text) for name, text in look.inputs.items()}


def twice(block: d.Block) -> d.Block:
    block.step.retry.max_attempts = 2
    return block


@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize(
    ("block", "told"),
    [
        (step("a"), {"status": "SUCCEEDED", "code": 0, "tries": 1, "error": None}),
        (
            twice(step("exit-3")),
            {
                "status": "FAILED",
                "code": 3,
                "tries": 2,
                "error": {"type": "ExitCode", "message": "the step ended with exit code 3"},
            },
        ),
        (
            step("broken"),
            {
                "status": "FAILED",
                "code": None,
                "tries": 1,
                "error": {"type": "Test", "message": "boom"},
            },
        ),
        (
            step("skip"),
            {
                "status": "SKIPPED",
                "code": None,
                "tries": 1,
                "error": {"type": "Skipped", "message": "nothing to do"},
            },
        ),
    ],
)
def test_a_later_step_looks_at_how_a_step_has_ended(
    nested: str, block: d.Block, told: dict[str, object]
) -> None:
    body = graph(block, looking(block.name, STATUS, CODE, ATTEMPTS, ERROR), (block.name, "look"))
    driver = played(NESTINGS[nested](body))
    assert seen(driver) == told
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize(
    ("block", "of_block", "status"),
    [
        (group(chain(step("broken"))), "group", "FAILED"),
        (group(chain(step("broken"))), "broken", "FAILED"),
        (for_each("f", literal([1, 2]), chain(step("a"))), "f", "SUCCEEDED"),
        (for_each("f", literal([1, 2]), chain(step("a"))), "a", ["SUCCEEDED", "SUCCEEDED"]),
        (
            for_each("f", literal([1, 2]), chain(group(chain(step("skip"))))),
            "skip",
            ["SKIPPED", "SKIPPED"],
        ),
        (for_each("f", literal([]), chain(step("a"))), "a", []),
        (repeat("r", chain(step("a")), output("a")), "r", "SUCCEEDED"),
        (repeat("r", chain(step("a")), output("a")), "a", "SUCCEEDED"),
        (branch("w", literal(False), chain(step("a"))), "w", "SKIPPED"),
        (branch("w", literal(False), chain(step("a"))), "a", None),
        (
            d.Block(name="late", gate=d.Gate(timer=d.TimerGate(after_ms=literal(0)))),
            "late",
            "SUCCEEDED",
        ),
    ],
)
def test_every_block_has_a_status(block: d.Block, of_block: str, status: object) -> None:
    driver = played(chain(block, looking(of_block, STATUS)))
    assert seen(driver) == {"status": status}


def test_a_hook_and_a_condition_look_at_outcomes() -> None:
    hook = looking("broken", STATUS, ERROR)
    hook.trigger, hook.phase = d.TRIGGER_RULE_UNSPECIFIED, d.PHASE_ON_FAILURE
    driver = played(graph(step("broken"), hook))
    assert seen(driver)["status"] == "FAILED"
    expression = d.Expression(cel="s == 'FAILED'", variables={"s": of("broken", STATUS)})
    way = branch("way", d.Binding(expression=expression), chain(step("repair")))
    definition = workflow(chain(optional(step("broken")), way))
    driver = Driver(definition, behave, evaluate=lambda cel, variables: variables["s"] == "FAILED")
    driver.run()
    assert ends(driver) == {"broken": "FAILED", "repair": "SUCCEEDED"}


@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize(
    ("rule", "after"),
    [
        (d.TRIGGER_RULE_UNSPECIFIED, "SUCCEEDED"),
        (d.TRIGGER_RULE_ALL_SUCCEEDED, "SKIPPED"),
        (d.TRIGGER_RULE_ANY_FAILED, "SKIPPED"),
    ],
)
def test_a_step_that_asks_to_be_skipped_is_skipped_and_not_tried_again(
    nested: str, rule: d.TriggerRule.ValueType, after: str
) -> None:
    driver = played(NESTINGS[nested](chain(twice(step("skip")), ruled("after", rule))))
    assert (ends(driver)["skip"], ends(driver)["after"]) == ("SKIPPED", after)
    assert driver.state.status == t.SUCCEEDED


def test_a_declared_exit_code_skips_and_others_fail() -> None:
    for code, status in ((3, "SKIPPED"), (4, "FAILED")):
        block = step(f"exit-{code}")
        block.step.skip_exit_codes.append(3)
        driver = played(chain(block))
        assert ends(driver) == {f"exit-{code}": status}
        found = driver.state.steps[f"exit-{code}"].error
        assert found is not None
        assert found.exit_code == code


def test_exit_codes_decide_on_retries_before_types() -> None:
    policy = d.RetryPolicy(
        max_attempts=1,
        rules=[
            d.RetryRule(error_type="ExitCode", max_attempts=2),
            d.RetryRule(exit_code=75, max_attempts=5),
        ],
    )
    found = {code: matching_rule(policy, exits(code)) for code in (1, 75)}
    assert {code: rule and rule.max_attempts for code, rule in found.items()} == {1: 2, 75: 5}
    block = step("exit-75")
    block.step.retry.CopyFrom(policy)
    assert played(chain(block)).state.steps["exit-75"].attempt == 5


def test_a_repeat_that_is_used_up_may_be_skipped() -> None:
    block = repeat("wait", chain(step("broken-not")), literal(False), times=2)
    block.repeat.body.blocks[0].name = "poll"
    block.repeat.exhausted = d.EXHAUSTED_SKIP
    driver = played(chain(block, ruled("strict", d.TRIGGER_RULE_ALL_SUCCEEDED)))
    wait = driver.state.blocks["wait"]
    assert wait.status == t.SKIPPED
    assert wait.error is not None
    assert wait.error.message.startswith("the condition did not hold after 2 iterations")
    assert ends(driver)["strict"] == "SKIPPED"
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize(
    ("binding", "problem"),
    [
        (of("nobody", STATUS), "the workflow has no block 'nobody'"),
        (of("group", CODE), "only steps have exit codes and attempts, and 'group' is none"),
        (of("a", d.OUTCOME_FIELD_UNSPECIFIED), "does not say what of the outcome it wants"),
    ],
)
def test_registration_refuses_outcomes_that_nothing_has(binding: d.Binding, problem: str) -> None:
    definition = workflow(chain(group(chain(step("a"))), step("use", x=binding)))
    (told,) = validate(definition)
    assert problem in told


def test_registration_refuses_exit_codes_that_no_program_has() -> None:
    block = step("a")
    block.step.skip_exit_codes.append(300)
    block.step.retry.rules.add(error_type="X", exit_code=3)
    assert validate(workflow(chain(block))) == [
        "a: a retry rule needs an error type or an exit code, or a pattern of the message",
        "a: exit codes that skip a step are from 1 to 255",
    ]
