"""What a failure stops: the policies of scopes, optional blocks, and the rules of blocks that start after failures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kaon_coordinator.engine.messages import Cancel, Retry, Start, Started
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Behaviour, Driver, failure

FAIL, FINISH = d.ON_ERROR_FAIL, d.ON_ERROR_FINISH
ANY_FAILED, ALL_FAILED, ALWAYS = (
    d.TRIGGER_RULE_ANY_FAILED,
    d.TRIGGER_RULE_ALL_FAILED,
    d.TRIGGER_RULE_ALWAYS,
)
Wrap = Callable[[d.Graph], d.Graph]


def behave(state):  # type: ignore[no-untyped-def]
    """Steps whose name begins with "broken" fail."""
    return failure() if state.block.name.startswith("broken") else {"out": True}


def ruled(name: str, rule: d.TriggerRule.ValueType) -> d.Block:
    block = step(name)
    block.trigger = rule
    return block


def optional(block: d.Block) -> d.Block:
    block.optional = True
    return block


def graph(*parts: d.Block | tuple[str, str]) -> d.Graph:
    """A graph of blocks and of edges, each the names of two of them."""
    edges = sorted(part for part in parts if isinstance(part, tuple))
    return d.Graph(
        blocks=[part for part in parts if isinstance(part, d.Block)],
        edges=[d.Edge(source=source, target=target) for source, target in edges],
    )


def group(body: d.Graph, on_error: d.OnError.ValueType = d.ON_ERROR_UNSPECIFIED) -> d.Block:
    return d.Block(name="group", group=d.Group(body=body, on_error=on_error))


def loop(body: d.Graph, on_error: d.OnError.ValueType = d.ON_ERROR_UNSPECIFIED) -> d.Block:
    block = for_each("loop", literal([1, 2]), body, at_once=1)
    block.for_each.on_error = on_error
    return block


# A body as the body of every block; the names of its steps stay unique.
NESTINGS: dict[str, Wrap] = {
    "the run": lambda body: body,
    "group": lambda body: chain(group(body)),
    "foreach": lambda body: chain(for_each("f", literal([1]), body)),
    "repeat": lambda body: chain(repeat("r", body, literal(True))),
    "branch": lambda body: chain(branch("way-in", literal(True), body)),
    "otherwise": lambda body: chain(branch("way-in", literal(False), chain(step("no")), body)),
    "hook": lambda body: graph(step("first"), _hook(group(body))),
    "group in foreach in repeat": lambda body: chain(
        repeat("r", chain(for_each("f", literal([1]), chain(group(body)))), literal(True))
    ),
}


def _hook(block: d.Block) -> d.Block:
    block.phase = d.PHASE_FINALLY
    return block


def played(
    body: d.Graph,
    on_error: d.OnError.ValueType = FAIL,
    behaviour: Behaviour = behave,
    seed: int = 0,
) -> Driver:
    definition = workflow(body)
    definition.on_error = on_error
    driver = Driver(definition, behaviour, seed=seed)
    driver.run()
    driver.check_replay()
    driver.take_over()
    return driver


def ends(driver: Driver) -> dict[str, str]:
    """How the steps have ended, by name."""
    return {step_.block.name: t.short(step_.status) for step_ in driver.state.steps.values()}


@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize("on_error", [FAIL, FINISH])
def test_what_does_not_depend_on_a_failure_goes_on_if_the_scope_finishes(
    nested: str, on_error: d.OnError.ValueType
) -> None:
    body = graph(
        step("broken"), step("after"), step("beside"), step("then"),
        ("broken", "after"), ("beside", "then"),
    )  # fmt: skip
    definition = workflow(NESTINGS[nested](body))
    definition.on_error = on_error
    driver = Driver(definition, behave)
    driver.tell(Start())
    if "first" in driver.requested:
        driver.execute("first")
    broken, beside = _paths(driver, "broken"), _paths(driver, "beside")
    driver.tell(Started(lease=driver.lease(beside[0])))
    driver.execute(broken[0])
    driver.requested.clear()
    if on_error == FINISH:
        driver.execute(beside[0])
    driver.drain()
    driver.check_replay()
    driver.take_over()
    wanted = ("SUCCEEDED", "SUCCEEDED") if on_error == FINISH else ("CANCELLED", "SKIPPED")
    found = ends(driver)
    assert (found["beside"], found["then"]) == wanted
    assert (found["broken"], found["after"]) == ("FAILED", "SKIPPED")
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "boom"


def _paths(driver: Driver, name: str) -> list[str]:
    return [path for path, each in driver.state.steps.items() if each.block.name == name]


@pytest.mark.parametrize(
    ("around", "own", "second"),
    [
        (FAIL, d.ON_ERROR_UNSPECIFIED, None),
        (FAIL, FINISH, "SUCCEEDED"),
        (FINISH, d.ON_ERROR_UNSPECIFIED, "SUCCEEDED"),
        (FINISH, FAIL, None),
    ],
)
@pytest.mark.parametrize("kind", [group, loop])
def test_a_block_has_its_own_policy_or_that_around_it(
    kind: Callable[[d.Graph, d.OnError.ValueType], d.Block],
    around: d.OnError.ValueType,
    own: d.OnError.ValueType,
    second: str | None,
) -> None:
    def first_cell_fails(state):  # type: ignore[no-untyped-def]
        return behave(state) if state.scope.index == 0 else {"out": True}

    body = graph(step("broken"), step("last"))
    if kind is group:
        body = graph(step("broken"), step("x"), step("last"), ("x", "last"))
    driver = played(chain(kind(body, own)), around, first_cell_fails)
    driver_ends = {path: t.short(each.status) for path, each in driver.state.steps.items()}
    last = "group/last" if kind is group else "loop[2]/last"
    # What runs side by side may be over before the failure comes.
    if second is None:
        assert driver_ends.get(last) in {None, "SKIPPED", "CANCELLED", "SUCCEEDED"}
        if kind is loop:
            assert last not in driver_ends
    else:
        assert driver_ends[last] == second
    assert driver.state.status == t.FAILED


@pytest.mark.parametrize(("items", "tolerated", "status"), [(3, 1, t.SUCCEEDED), (3, 0, t.FAILED)])
def test_a_foreach_that_finishes_runs_all_its_cells_and_counts_afterwards(
    items: int, tolerated: int, status: t.Status
) -> None:
    def first_fails(state):  # type: ignore[no-untyped-def]
        return failure() if state.scope.index == 0 else {"out": state.scope.index}

    block = for_each(
        "f", literal(list(range(items))), chain(step("s")), at_once=1, tolerate=tolerated
    )
    block.for_each.on_error = FINISH
    driver = played(chain(block), behaviour=first_fails)
    assert [t.short(each.status) for each in driver.state.steps.values()] == [
        "FAILED",
        *["SUCCEEDED"] * (items - 1),
    ]
    assert driver.state.status == status


def test_a_cancelled_block_stops_nothing_that_finishes_and_the_run_ends_cancelled() -> None:
    definition = workflow(graph(step("a"), step("after"), step("b"), ("a", "after")))
    definition.on_error = FINISH
    driver = Driver(definition, behave)
    driver.tell(Start())
    driver.tell(Cancel(path="a", reason="", requester=""))
    driver.drain()
    assert ends(driver) == {"a": "CANCELLED", "after": "SKIPPED", "b": "SUCCEEDED"}
    assert driver.state.status == t.CANCELLED


def test_a_retry_runs_what_failed_and_what_came_after_it_and_nothing_that_finished() -> None:
    healed: list[str] = []

    def behaves(state):  # type: ignore[no-untyped-def]
        return {"out": True} if healed else behave(state)

    body = graph(step("broken"), step("after"), step("beside"), ("broken", "after"))
    driver = played(body, FINISH, behaves)
    healed.append("yes")
    driver.tell(Retry(path="", reason="", requester="me"))
    assert sorted(driver.requested) == ["broken"]
    driver.drain()
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


# --- optional blocks -------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", NESTINGS)
def test_the_failure_of_an_optional_step_is_settled_there(nested: str) -> None:
    body = graph(optional(step("broken")), step("after"), ("broken", "after"))
    driver = played(NESTINGS[nested](body))
    assert ends(driver)["broken"] == "FAILED"
    assert ends(driver)["after"] == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize(
    "block",
    [
        group(chain(step("broken"))),
        loop(chain(step("broken"))),
        repeat("r", chain(step("broken")), literal(True)),
        repeat("r", chain(step("ok")), literal(False), times=2),
        branch("b", literal(True), chain(step("broken"))),
    ],
    ids=["group", "foreach", "repeat", "exhausted", "branch"],
)
def test_every_block_may_be_optional(block: d.Block) -> None:
    body = chain(optional(block), step("after"))
    driver = played(body)
    assert driver.state.blocks[block.name].status == t.FAILED
    assert ends(driver)["after"] == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED
    assert validate(driver.definition) == []


def test_an_optional_hook_that_fails_does_not_fail_the_run() -> None:
    for is_optional in (True, False):
        hook = _hook(step("broken-hook"))
        hook.optional = is_optional
        driver = played(graph(step("a"), hook))
        assert driver.state.status == (t.SUCCEEDED if is_optional else t.FAILED)


@pytest.mark.parametrize(
    ("rule", "after"),
    [
        (d.TRIGGER_RULE_ALL_PASSED, "SUCCEEDED"),
        (d.TRIGGER_RULE_ALL_SUCCEEDED, "SKIPPED"),
        (d.TRIGGER_RULE_ANY_SUCCEEDED, "SKIPPED"),
        (d.TRIGGER_RULE_ALL_DONE, "SUCCEEDED"),
        (ANY_FAILED, "SUCCEEDED"),
        (ALL_FAILED, "SUCCEEDED"),
        (ALWAYS, "SUCCEEDED"),
    ],
)
def test_start_rules_see_that_an_optional_block_failed(
    rule: d.TriggerRule.ValueType, after: str
) -> None:
    driver = played(chain(optional(step("broken")), ruled("after", rule)))
    assert ends(driver)["after"] == after
    assert driver.state.status == t.SUCCEEDED


# --- rules over failures ---------------------------------------------------------------------------

SKIPPED = branch("skipped", literal(False), chain(step("way")))


@pytest.mark.parametrize(
    ("rule", "before", "after", "run"),
    [
        (ANY_FAILED, ("broken", "b"), "SUCCEEDED", "SUCCEEDED"),
        (ANY_FAILED, ("a", "b"), "SKIPPED", "SUCCEEDED"),
        (ANY_FAILED, ("skipped", "b"), "SKIPPED", "SUCCEEDED"),
        (ANY_FAILED, ("skipped", "broken"), "SUCCEEDED", "SUCCEEDED"),
        (ALL_FAILED, ("broken", "broken-too"), "SUCCEEDED", "SUCCEEDED"),
        (ALL_FAILED, ("broken", "b"), "SKIPPED", "FAILED"),
        (ALL_FAILED, ("broken", "skipped"), "SKIPPED", "FAILED"),
        (ALL_FAILED, ("a", "b"), "SKIPPED", "SUCCEEDED"),
        (ALWAYS, ("a", "b"), "SUCCEEDED", "SUCCEEDED"),
        (ALWAYS, ("broken", "b"), {"SUCCEEDED", "CANCELLED"}, "FAILED"),
    ],
)
@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize("far", [False, True], ids=["direct", "indirect"])
def test_a_block_starts_after_failures_as_its_rule_wants(
    rule: d.TriggerRule.ValueType,
    before: tuple[str, ...],
    after: str | set[str],
    run: str,
    nested: str,
    far: bool,
) -> None:
    blocks: list[d.Block | tuple[str, str]] = [ruled("after", rule), step("last")]
    for name in before:
        blocks.append(SKIPPED if name == "skipped" else step(name))
        between = f"then-{name}"
        if far and name != "skipped":
            blocks += [step(between), (name, between), (between, "after")]
        else:
            blocks.append((name, "after"))
    driver = played(NESTINGS[nested](graph(*blocks, ("after", "last"))), seed=len(nested))
    found = ends(driver)
    assert found["after"] in ({after} if isinstance(after, str) else after)
    assert t.short(driver.state.status) == run
    if run == "SUCCEEDED":
        # What is skipped since nothing has failed keeps nothing from starting.
        assert found["last"] == "SUCCEEDED"


def test_a_block_for_any_failure_does_not_wait_for_the_others() -> None:
    driver = Driver(
        workflow(graph(step("broken"), step("b"), ruled("fix", ANY_FAILED), ("broken", "fix"), ("b", "fix"))),
        behave,
    )  # fmt: skip
    driver.tell(Start())
    driver.execute("broken")
    assert "fix" in driver.requested
    driver.take_over()
    driver.drain()
    assert ends(driver) == {"broken": "FAILED", "b": "SUCCEEDED", "fix": "SUCCEEDED"}


def test_a_block_that_always_starts_waits_for_nothing() -> None:
    driver = Driver(workflow(chain(step("a"), ruled("watch", ALWAYS), step("end"))), behave)
    driver.tell(Start())
    assert sorted(driver.requested) == ["a", "watch"]
    driver.execute("watch")
    assert "end" in driver.requested


def test_a_failure_that_not_all_share_stops_the_run_once_that_is_known() -> None:
    body = graph(
        step("broken"), step("b"), step("long"), ruled("fix", ALL_FAILED),
        ("broken", "fix"), ("b", "fix"),
    )  # fmt: skip
    driver = Driver(workflow(body), behave)
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("long")))
    driver.execute("broken")
    assert not driver.revoked
    driver.execute("b")
    assert [each.issue.path for each in driver.revoked] == ["long"]
    driver.requested.clear()
    driver.drain()
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "boom"
    fix = driver.state.steps["fix"].error
    assert fix is not None
    assert fix.message == "fix: broken is FAILED (Test: boom)"
    driver.check_replay()


def test_a_cancel_is_no_failure() -> None:
    driver = Driver(workflow(chain(step("a"), ruled("fix", ANY_FAILED))), behave)
    driver.tell(Start())
    driver.tell(Cancel(path="a", reason="", requester=""))
    driver.drain()
    assert ends(driver) == {"a": "CANCELLED", "fix": "SKIPPED"}
    assert driver.state.status == t.CANCELLED


@pytest.mark.parametrize("rule", [ANY_FAILED, ALL_FAILED])
def test_rules_over_failures_may_follow_one_another(rule: d.TriggerRule.ValueType) -> None:
    """The first of three ways to do it that works."""
    driver = played(
        chain(step("broken-1"), ruled("broken-2", rule), ruled("third", rule), step("use"))
    )
    assert ends(driver)["third"] == "SUCCEEDED"
    assert ends(driver)["use"] == "SUCCEEDED"
    assert driver.state.status == t.SUCCEEDED


def test_registration_refuses_a_rule_over_failures_with_nothing_before_it() -> None:
    problems = validate(workflow(fan(ruled("fix", ANY_FAILED))))
    assert problems == ["fix: it starts after failures of the blocks before it, and there are none"]


def test_outputs_of_what_failed_are_null() -> None:
    driver = played(chain(optional(step("broken")), step("after", x=output("broken"))))
    assert driver.state.steps["after"].inputs["x"] == "null"


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("settles", [False, True])
def test_a_teardown_that_fails_fails_nothing_where_it_is_optional(
    grouped: bool, settles: bool
) -> None:
    teardown = _hook(step("broken-teardown"))
    teardown.optional = settles
    body = graph(step("first"), teardown)
    if grouped:
        body = graph(
            d.Block(name="around", group=d.Group(body=body)), step("after"), ("around", "after")
        )
    driver = Driver(workflow(body), behave)
    driver.run()
    path = "around/broken-teardown" if grouped else "broken-teardown"
    assert driver.state.steps[path].status == t.FAILED
    assert driver.state.status == (t.SUCCEEDED if settles else t.FAILED)
    driver.check_replay()
