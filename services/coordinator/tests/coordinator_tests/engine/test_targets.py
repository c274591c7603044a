"""Runs of a part of a workflow: what runs, and what is skipped."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.messages import Retry
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.targets import left_out, problems
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure
from .test_failure_policies import graph, group, ruled


def hook(name: str) -> d.Block:
    block = step(name)
    block.phase = d.PHASE_FINALLY
    return block


# a -> f[..](b -> c) -> g(h -> i) -> z, and beside them: x -> r(p -> q), w(y) as a branch.
WHOLE = graph(
    step("a"),
    for_each("f", literal([1]), graph(step("b"), step("c"), ("b", "c"))),
    group(graph(step("h"), step("i"), hook("tidy"), ("h", "i"))),
    ruled("z", d.TRIGGER_RULE_ALL_SUCCEEDED),
    step("x"),
    repeat("r", graph(step("p"), step("q"), ("p", "q")), output("q")),
    branch("w", literal(True), graph(step("y"))),
    hook("clean"),
    ("a", "f"), ("f", "group"), ("group", "z"), ("x", "r"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("only", "until", "ran"),
    [
        ([], [], "a b c h i tidy z x p q y"),
        ([], ["z"], "a b c h i tidy z"),
        ([], ["h"], "a b c h tidy"),
        ([], ["b"], "a b"),
        ([], ["f"], "a b c"),
        (["f"], [], "b c"),
        (["c"], [], "c"),
        (["z"], [], "z"),
        (["z", "y"], [], "z y"),
        (["p"], [], "p q"),
        ([], ["p"], "x p q"),
        (["y"], ["f"], "a b c y"),
        ([], ["b", "z"], "a b c h i tidy z"),
        (["group"], [], "h i tidy"),
    ],
)
def test_targets_run_and_nothing_else_but_hooks(
    only: list[str], until: list[str], ran: str
) -> None:
    driver = aimed(WHOLE, only=only, until=until)
    driver.run()
    done = {each.block.name for each in driver.state.steps.values() if each.status == t.SUCCEEDED}
    assert done == {*ran.split(), "clean"}
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()
    driver.take_over()
    for node in [*driver.state.steps.values(), *driver.state.blocks.values()]:
        if node.block.name in driver.state.left_out:
            assert node.error is not None
            assert node.error.type == "Skipped"


def aimed(body: d.Graph, behaviour=None, **names: list[str]) -> Driver:  # type: ignore[no-untyped-def]
    driver = Driver(workflow(body), behaviour or (lambda state: {"out": True}))
    driver.state, driver.history = driver.fresh(), []
    submitted = history_pb2.RunSubmitted(
        workflow="test",
        targets=run_pb2.RunTargets(only=names.get("only"), until=names.get("until")),
    )
    driver.absorb(submit(driver.state, submitted=submitted, context=driver.context()))
    return driver


def test_a_retry_after_another_owner_still_leaves_out_the_rest() -> None:
    healed: list[str] = []

    def once(state):  # type: ignore[no-untyped-def]
        return {"out": True} if healed else failure()

    driver = aimed(
        graph(step("a"), step("b"), step("c"), ("a", "b"), ("b", "c")), once, until=["b"]
    )
    driver.run()
    assert driver.state.status == t.FAILED
    healed.append("yes")
    driver.take_over()
    driver.tell(Retry(path="", reason="", requester="me"))
    driver.drain()
    assert {name: t.short(each.status) for name, each in driver.state.steps.items()} == {
        "a": "SUCCEEDED", "b": "SUCCEEDED", "c": "SKIPPED",
    }  # fmt: skip
    driver.check_replay()


def test_what_is_no_block_is_told_with_similar_names() -> None:
    definition = workflow(graph(step("train"), step("load")))
    targets = run_pb2.RunTargets(only=["trian"], until=["load", "what"])
    assert list(problems(definition, targets)) == [
        "only: workflow 'test' has no step or block 'trian'; did you mean train?",
        "until: workflow 'test' has no step or block 'what'; it has train, load",
    ]
    assert left_out(definition, run_pb2.RunTargets()) == frozenset()
