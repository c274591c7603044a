"""What definitions say."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kaon import (
    Memo,
    Part,
    Resources,
    Retry,
    RetryRule,
    Workflow,
    WorkflowError,
    approval,
    branch,
    coalesce,
    each,
    expr,
    for_each,
    grid,
    group,
    halving,
    integers,
    last,
    last_run,
    log_uniform,
    median,
    mutex,
    outcome,
    parallel,
    param,
    repeat,
    run_info,
    sample,
    semaphore,
    sequence,
    signal,
    steps,
    sub_workflow,
    timer,
    uniform,
    until,
    when,
    while_,
)
from kaonapi.workflow.v1 import definition_pb2 as d

Build = Callable[[str], Workflow]


def shell(name: str, **rest: object) -> steps.Step:
    return steps.shell(name, argv=["true"], **rest)


def edges(graph: d.Graph) -> list[str]:
    return [f"{edge.source}->{edge.target}" for edge in graph.edges]


def test_a_fan_out_and_join_gives_one_graph_with_the_edges_as_written() -> None:
    a, b, c, e = (shell(name) for name in "abce")
    graph = Workflow("w", a >> (b | c) >> e).definition().body
    assert [block.name for block in graph.blocks] == ["a", "b", "c", "e"]
    assert edges(graph) == ["a->b", "a->c", "b->e", "c->e"]


def test_a_dag_is_written_by_mentioning_a_step_again() -> None:
    a, b, c, e = (shell(name) for name in "abce")
    graph = Workflow("w", a >> c | b >> c | b >> e).definition().body
    assert edges(graph) == ["a->c", "b->c", "b->e"]


def test_sequence_binds_tighter_than_parallel() -> None:
    a, b, c = (shell(name) for name in "abc")
    assert edges(Workflow("w", a >> b | c).definition().body) == ["a->b"]


def test_edges_are_sorted_and_not_doubled() -> None:
    a, b, c = (shell(name) for name in "cba")
    graph = Workflow("w", sequence(a, b, c) | sequence(a, b)).definition().body
    assert edges(graph) == ["b->a", "c->b"]


def test_all_blocks_nest_and_bind(tmp_path: Path) -> None:
    start = shell("start", outputs={"regions": list, "big": bool})
    region = each("region", start["regions"], max_concurrency=2, tolerate="25%")
    train = shell("train", region=region, outputs={"rmse": float})
    check = shell(
        "check",
        scores=train["rmse"],
        old=last("check.score", 1.5),
        outputs={"ok": bool, "score": float},
    )
    small, large = shell("small"), shell("large", score=check["score"])
    body = sequence(
        repeat(
            sequence(start, for_each(region, train), check),
            until=check["ok"],
            max_iterations=3,
            exhausted="accept",
        ),
        branch(when(expr("s < limit", s=check["score"], limit=2), small), otherwise=large),
    )
    definition = Workflow("w", body, root=tmp_path).definition()
    cycle, choice = definition.body.blocks
    assert (cycle.name, choice.name) == ("cycle", "branch")
    assert cycle.repeat.exhausted == d.EXHAUSTED_ACCEPT
    assert cycle.repeat.until.output == d.OutputReference(step="check", output="ok")
    loop = cycle.repeat.body.blocks[1]
    assert loop.name == "regions"
    assert loop.for_each.item == "region"
    assert loop.for_each.max_concurrency == 2
    assert loop.for_each.failure.percent == 25
    assert loop.for_each.body.blocks[0].step.inputs["region"].item == "region"
    old = cycle.repeat.body.blocks[2].step.inputs["old"].last
    assert (old.output.step, old.output.output, old.fallback.literal_json) == (
        "check",
        "score",
        "1.5",
    )
    condition = choice.branch.cases[0].condition.expression
    assert condition.cel == "s < limit"
    assert condition.variables["limit"].literal_json == "2"
    assert choice.branch.otherwise.blocks[0].name == "large"


def test_a_step_carries_its_policy() -> None:
    step = shell(
        "a",
        retry=Retry(max_attempts=4, backoff="500ms", factor=3, max_backoff="1m"),
        timeout="1h30m",
        pool="gpu",
        labels=["spark=4.3", "gpu!=none", "!slow", "zone not in (a, b)", "docker"],
        resources=Resources(slots=2, cpu=1.5, memory="2GiB", gpu=1),
        priority=-3,
        isolation="process",
    )
    message = Workflow("w", step).definition().body.blocks[0].step
    assert message.retry == d.RetryPolicy(
        max_attempts=4, backoff_ms=500, backoff_factor=3, max_backoff_ms=60_000
    )
    assert message.timeout_ms == 5_400_000
    assert message.pool == "gpu"
    assert list(message.labels) == [
        "!slow",
        "docker",
        "gpu!=none",
        "spark=4.3",
        "zone not in (a, b)",
    ]
    assert message.resources == d.Resources(slots=2, cpu_milli=1500, memory_bytes=2**31, gpu=1)
    assert message.priority == -3
    assert message.isolation == d.ISOLATION_PROCESS


def test_parameters_are_sorted_and_those_of_steps_come_along() -> None:
    limit = param("limit", float, default=1, description="of the error")
    body = shell("a", limit=limit, cohort=param("cohort"))
    workflow = Workflow("w", body, parameters={"cohort": str, "alpha": 3})
    declared = {each.name: each for each in workflow.definition().parameters}
    assert list(declared) == ["alpha", "cohort", "limit"]
    assert declared["limit"].default_json == "1.0"
    assert not declared["cohort"].HasField("default_json")
    assert (declared["alpha"].type, declared["alpha"].default_json) == (d.VALUE_TYPE_INT, "3")


def test_a_list_may_hold_references_and_a_literal_is_canonical_json() -> None:
    a = shell("a", outputs={"x": int})
    b = shell("b", both=[a["x"], 1], fixed={"b": [1, None], "a": "ü"})
    inputs = Workflow("w", a >> b).definition().body.blocks[1].step.inputs
    assert [each.WhichOneof("source") for each in inputs["both"].list.bindings] == [
        "output",
        "literal_json",
    ]
    assert inputs["fixed"].literal_json == '{"a":"ü","b":[1,null]}'


def test_a_map_may_hold_references() -> None:
    a = shell("a", outputs={"x": int})
    b = shell("b", both={"x": a["x"], "rest": {"y": [a["x"], 1]}, "n": 2})
    bound = Workflow("w", a >> b).definition().body.blocks[1].step.inputs["both"].map.bindings
    assert (bound["x"].output.step, bound["n"].literal_json) == ("a", "2")
    assert bound["rest"].map.bindings["y"].list.bindings[0].output.output == "x"


def test_coalesce_takes_the_value_of_the_way_that_ran() -> None:
    a, b = shell("a", outputs={"x": int}), shell("b", outputs={"x": int})
    c = shell("c", x=coalesce(a["x"], b["x"], 0))
    body = branch(when(expr("n > 1", n=param("n", int)), a), otherwise=b) >> c
    found = Workflow("w", body).definition().body.blocks[1].step.inputs["x"].expression
    assert found.cel == "coalesce(v0, v1, v2)"
    assert [found.variables[f"v{n}"].output.step for n in range(2)] == ["a", "b"]
    assert found.variables["v2"].literal_json == "0"


def test_a_functions_default_stands_for_a_skipped_input(build: Build, project: Path) -> None:
    (project / "defaults.py").write_text(
        "import os\ndef f(a, b=7, c=None, d=os.environ, e=(1, 'x')): ...\ndef g(*, a, b=[2]): ...\n"
    )
    workflow = build("""
import defaults
from kaon import Workflow, steps
a = steps.shell("a", argv=["a"], outputs={"x": int})
x = a["x"]
f = steps.python("f", defaults.f, a=x, b=x, c=x, d=x, e=x)
g = steps.python("g", "defaults:g", a=x, b=x)
workflow = Workflow("w", a >> (f | g))
""")
    blocks = {block.name: block.step.inputs for block in workflow.definition().body.blocks}
    kept = {
        f"{name}.{key}": each.output.skipped_json
        for name in ("f", "g")
        for key, each in blocks[name].items()
        if each.output.HasField("skipped_json")
    }
    assert kept == {"f.b": "7", "f.e": '[1,"x"]', "g.b": "[2]"}


def test_unnamed_blocks_get_numbers_where_a_name_is_taken() -> None:
    a, b, cycle = shell("a", outputs={"ok": bool}), shell("b", outputs={"ok": bool}), shell("cycle")
    body = (
        (a ** until(a["ok"], max_iterations=2)) >> (b ** until(b["ok"], max_iterations=2)) >> cycle
    )
    assert [block.name for block in Workflow("w", body).definition().body.blocks] == [
        "cycle-2",
        "cycle-3",
        "cycle",
    ]


def test_every_step_type_gives_its_settings(build: Build, project: Path) -> None:
    (project / "work").mkdir()
    (project / "work" / "__init__.py").write_text("def top(x): ...\n")
    (project / "work" / "clean.py").write_text(
        "def clean(x, context): ...\ndef model(spark, x=1): ...\n"
    )
    for file in ("q.sql", "train.R", "V.scala", "job.py"):
        (project / file).write_text("")
    workflow = build("""
import work
from work import clean
from kaon import Workflow, parallel, steps
def here(): ...
body = parallel(
    steps.python("p1", work.top, x=1), steps.python("p2", clean.clean, x=1), steps.python("p3", here),
    steps.hive("h1", "q.sql"), steps.hive("h2", query="SELECT 1"),
    steps.spark("s1", clean.model, config={"driver": "classic"}), steps.spark("s2", "job.py"),
    steps.r("r1", "train.R", function="train"), steps.scala("c1", "V.scala", main="V"),
    steps.docker("d1", image="i:1", argv=["x"], env={"A": "b"}), steps.shell("sh", argv=["echo", "${x}"], x=1),
    steps.step("gate", "g1", config={"k": 1}),
)
flow = Workflow("all", body)
""")
    blocks = workflow.definition().body.blocks
    configs = {block.name: json.loads(block.step.config_json) for block in blocks}
    assert configs == {
        "p1": {"entry": "work:top"},
        "p2": {"entry": "work.clean:clean"},
        "p3": {"entry": "flow:here"},
        "h1": {"file": "q.sql"},
        "h2": {"query": "SELECT 1"},
        "s1": {"entry": "work.clean:model", "driver": "classic"},
        "s2": {"file": "job.py"},
        "r1": {"file": "train.R", "function": "train"},
        "c1": {"file": "V.scala", "main": "V"},
        "d1": {"image": "i:1", "argv": ["x"], "env": {"A": "b"}},
        "sh": {"argv": ["echo", "${x}"], "env": {}},
        "g1": {"k": 1},
    }
    assert {block.step.type for block in blocks} >= {
        "python",
        "hive",
        "spark",
        "r",
        "scala",
        "docker",
        "shell",
        "gate",
    }


def only(part: Part, **rest: Any) -> d.Block:
    (block,) = Workflow("w", part, **rest).definition().body.blocks
    return block


def test_hooks_of_the_whole_body_are_blocks_of_its_graph() -> None:
    a, b = shell("a"), shell("b", outputs={"x": int})
    alert, clean = shell("alert", why=outcome()["error"]), shell("clean", x=b["x"], run=run_info())
    graph = Workflow("w", (a >> b).on_failure(alert).finally_(clean)).definition().body
    assert {block.name: block.phase for block in graph.blocks} == {
        "a": d.PHASE_UNSPECIFIED,
        "b": d.PHASE_UNSPECIFIED,
        "alert": d.PHASE_ON_FAILURE,
        "clean": d.PHASE_FINALLY,
    }
    assert edges(graph) == ["a->b"]
    why = graph.blocks[2].step.inputs["why"].expression
    assert (why.cel, why.variables["value"].HasField("outcome")) == ('value["error"]', True)
    assert graph.blocks[3].step.inputs["run"].HasField("run_info")


def test_a_part_with_hooks_within_a_body_becomes_a_group() -> None:
    a, b, c, clean = (shell(name) for name in ("a", "b", "c", "clean"))
    graph = Workflow("w", a >> (b >> c).finally_(clean)).definition().body
    assert edges(graph) == ["a->group"]
    inner = graph.blocks[1].group.body
    assert [(block.name, block.phase) for block in inner.blocks] == [
        ("b", 0),
        ("c", 0),
        ("clean", d.PHASE_FINALLY),
    ]


def test_the_hooks_of_a_cell_belong_to_its_body() -> None:
    a, clean = shell("a"), shell("clean")
    body = only(a.finally_(clean) ** each("i", [1])).for_each.body
    assert [block.name for block in body.blocks] == ["a", "clean"]


def test_a_group_keeps_its_name_times_and_hooks() -> None:
    a, clean, alert = shell("a"), shell("clean"), shell("alert")
    made = group(a, name="training", timeout="2h", deadline="1h", finally_=clean).on_failure(alert)
    block = only(made)
    assert (block.name, block.timeout_ms, block.deadline_ms) == ("training", 7_200_000, 3_600_000)
    assert [inner.name for inner in block.group.body.blocks] == ["a", "alert", "clean"]


def test_a_rule_says_when_a_block_starts() -> None:
    a, b, first, done, all_good = (shell(name) for name in ("a", "b", "first", "done", "all-good"))
    body = (a | b) >> (first.when_any() | done.when_all_done() | all_good.when_all_succeeded())
    rules = {block.name: block.trigger for block in Workflow("w", body).definition().body.blocks}
    assert rules == {
        "a": d.TRIGGER_RULE_UNSPECIFIED,
        "b": d.TRIGGER_RULE_UNSPECIFIED,
        "first": d.TRIGGER_RULE_ANY_SUCCEEDED,
        "done": d.TRIGGER_RULE_ALL_DONE,
        "all-good": d.TRIGGER_RULE_ALL_SUCCEEDED,
    }


def test_rules_over_failures_are_words_too() -> None:
    a = shell("a")
    after = (
        shell("none").when_none_failed(),
        shell("any").when_any_failed().optional(),
        shell("all").optional().when_all_failed(),
        shell("always").when_always(),
        shell("usual").optional(),
    )
    blocks = Workflow("w", a >> parallel(*after)).definition().body.blocks
    assert {block.name: (block.trigger, block.optional) for block in blocks[1:]} == {
        "none": (d.TRIGGER_RULE_ALL_PASSED, False),
        "any": (d.TRIGGER_RULE_ANY_FAILED, True),
        "all": (d.TRIGGER_RULE_ALL_FAILED, True),
        "always": (d.TRIGGER_RULE_ALWAYS, False),
        "usual": (d.TRIGGER_RULE_UNSPECIFIED, True),
    }


def test_a_condition_over_ends_says_when_a_block_starts() -> None:
    load, a, b, train = (shell(name) for name in ("load", "a", "b", "train"))
    rule = load.succeeded & (a.failed | b.optional().succeeded) & b.ended
    assert repr(rule) == "load.succeeded & (a.failed | b.succeeded) & b.ended"
    body = (load | a | b.optional()) >> train.optional().when(rule)
    block = Workflow("w", body).definition().body.blocks[3]
    end = {
        name: d.StartCondition(end=d.BlockEnd(block=name, kind=kind))
        for name, kind in (
            ("load", d.BLOCK_END_KIND_SUCCEEDED),
            ("a", d.BLOCK_END_KIND_FAILED),
            ("b", d.BLOCK_END_KIND_SUCCEEDED),
        )
    }
    either = d.StartCondition(any=d.StartConditions(conditions=[end["a"], end["b"]]))
    last = d.StartCondition(end=d.BlockEnd(block="b", kind=d.BLOCK_END_KIND_ENDED))
    assert (block.trigger, block.optional) == (d.TRIGGER_RULE_CONDITION, True)
    parts = d.StartConditions(conditions=[end["load"], either, last])
    assert block.start == d.StartCondition(all=parts)


def test_a_retry_rule_may_ask_for_a_message_and_retries_end_after_a_duration() -> None:
    rules = [
        RetryRule(message="rate limit", max_attempts=9, backoff="30s"),
        RetryRule(error=OSError, message="reset", max_attempts=param("tries", int, default=4)),
        RetryRule(error=75, max_attempts=2),
    ]
    block = only(shell("a", retry=Retry(max_duration="2h", rules=rules)))
    retry = block.step.retry
    assert retry.max_duration_ms == 7_200_000
    assert list(retry.rules) == [
        d.RetryRule(message_pattern="rate limit", max_attempts=9, backoff_ms=30_000),
        d.RetryRule(error_type="OSError", message_pattern="reset"),
        d.RetryRule(exit_code=75, max_attempts=2),
    ]
    assert list(block.bound) == ["step.retry.rules.OSError~reset.max_attempts"]
    named = Retry(rules={"OSError": RetryRule(message="reset", max_attempts=3)})
    assert only(shell("a", retry=named)).step.retry.rules[0].message_pattern == "reset"


def test_outputs_of_other_workflows_say_what_stands_inside_of_them() -> None:
    outputs = {"scores": list[float], "by_day": dict[str, list[int]], "n": int}
    last_one, called = last_run("l", "w", outputs=outputs), sub_workflow("s", "w", outputs=outputs)
    blocks = Workflow("outer", last_one >> called).definition().body.blocks
    for taker in (blocks[0].gate.run, blocks[1].sub_workflow):
        assert dict(taker.outputs) == {
            "scores": d.VALUE_TYPE_LIST,
            "by_day": d.VALUE_TYPE_MAP,
            "n": d.VALUE_TYPE_INT,
        }
        assert dict(taker.output_contents) == {
            "scores": d.Shape(type=d.VALUE_TYPE_FLOAT),
            "by_day": d.Shape(type=d.VALUE_TYPE_LIST, of=d.Shape(type=d.VALUE_TYPE_INT)),
        }
    for taken in (last_run, sub_workflow):
        with pytest.raises(WorkflowError, match="'x' is declared list"):
            taken("l", "w", outputs={"x": list[datetime]})


def labelled(label: str, pools: int, conf: str) -> None:
    """Its parameters look like options."""


def test_an_input_that_is_declared_may_look_like_an_option() -> None:
    load = shell("load", outputs={"label": str})
    label, retries = param("label", str), each("retries", [1])
    body = load >> parallel(
        shell("by-output", label=load["label"]),
        shell("by-parameter", label=label),
        shell("by-item", retries=retries) ** retries,
        steps.python("by-function", labelled, label="a", pools=2, conf="b"),
        sub_workflow("by-name", "other", conf=param("conf", str), timout=param("timout", int)),
    )
    blocks = {block.name: block for block in Workflow("w", body).definition().body.blocks}
    assert list(blocks["by-output"].step.inputs) == ["label"]
    assert sorted(blocks["by-function"].step.inputs) == ["conf", "label", "pools"]
    assert sorted(blocks["by-name"].sub_workflow.params) == ["conf", "timout"]


@pytest.mark.parametrize("word", ["label", "timout", "retries"])
def test_an_input_that_nothing_declares_and_that_looks_like_an_option_is_refused(
    word: str,
) -> None:
    with pytest.raises(WorkflowError, match=r"input of that name goes into inputs=\{"):
        shell("a", **{word: "x"})
    with pytest.raises(WorkflowError, match=r"input of that name goes into inputs=\{"):
        shell("a", **{word: param("another", str)})


def test_what_always_starts_knows_no_outputs_of_what_is_before_it() -> None:
    a = shell("a", outputs={"x": int})
    watch = shell("watch", x=a["x"]).when_always()
    with pytest.raises(WorkflowError, match="need not have ended before"):
        Workflow("w", a >> watch)


def test_a_while_is_a_repeat_with_its_condition_first() -> None:
    page = shell("page", left=last("page.left", 3), outputs={"left": int, "more": bool})
    condition = expr("left > 0", left=last("page.left", 3))
    first = only(while_(condition, page, backoff="1s", name="pages"))
    second = only(page ** while_(condition, backoff="1s", name="pages"))
    assert first == second
    assert not first.repeat.HasField("until")
    assert first.repeat.as_long_as.expression.cel == "left > 0"
    assert (first.repeat.max_iterations, first.repeat.backoff_ms) == (100, 1_000)
    assert only(repeat(page, until=page["more"])).repeat.max_iterations == 100


def test_how_a_block_has_ended_is_a_value() -> None:
    a = shell("a", skip_exit_codes=[9, 3], retry=Retry(rules={75: 4, "X*": 2}))
    loop = shell("b") ** each("i", [1])
    whole = group(shell("c"))
    use = shell(
        "use",
        status=a.status,
        code=a.exit_code,
        tries=a.attempts,
        why=whole.error,
        loop=loop.status,
    )
    after = use.optional()
    end = shell("end", message=after.error["message"], how=after.status)
    body = (a | loop | whole) >> after.when_all_done() >> end
    blocks = {block.name: block for block in Workflow("w", body).definition().body.blocks}
    bound = blocks["use"].step.inputs
    assert {
        name: (each.block_outcome.block, each.block_outcome.field) for name, each in bound.items()
    } == {
        "status": ("a", d.OUTCOME_FIELD_STATUS),
        "code": ("a", d.OUTCOME_FIELD_EXIT_CODE),
        "tries": ("a", d.OUTCOME_FIELD_ATTEMPTS),
        "why": ("group", d.OUTCOME_FIELD_ERROR),
        "loop": ("each-i", d.OUTCOME_FIELD_STATUS),
    }
    message = blocks["end"].step.inputs["message"].expression
    assert message.variables["value"].block_outcome.block == "use"
    step = blocks["a"].step
    assert list(step.skip_exit_codes) == [3, 9]
    assert [(rule.exit_code, rule.error_type) for rule in step.retry.rules] == [(75, ""), (0, "X*")]


def test_the_status_of_a_cells_block_is_a_list_outside_of_its_foreach() -> None:
    b = shell("b")
    items = each("how", b.status)
    Workflow("w", b ** each("i", [1, 2]) >> shell("c", how=items) ** items)
    with pytest.raises(WorkflowError, match="it must be a list"):
        Workflow("w", b >> shell("c", how=items) ** items)


def test_a_scope_says_what_a_failure_stops() -> None:
    inner = group(shell("a"), on_error="fail")
    loop = shell("b") ** each("i", [1], on_error="finish")
    definition = Workflow(
        "w", (inner | loop | group(shell("c")).optional()), on_error="finish"
    ).definition()
    first, second, third = definition.body.blocks
    assert definition.on_error == second.for_each.on_error == d.ON_ERROR_FINISH
    assert first.group.on_error == d.ON_ERROR_FAIL
    assert (third.group.on_error, third.optional) == (d.ON_ERROR_UNSPECIFIED, True)


def test_a_step_with_a_rule_still_has_its_outputs() -> None:
    a = shell("a")
    b = shell("b", outputs={"x": int}).when_any()
    graph = Workflow("w", a >> b >> shell("c", x=b["x"])).definition().body
    assert graph.blocks[2].step.inputs["x"].output == d.OutputReference(step="b", output="x")


def test_gates_say_what_they_wait_for() -> None:
    ok = approval(
        "ok", roles=["owner", "admin"], message="Publish?", timeout="2d", on_timeout="reject"
    )
    data = signal("data", signal="data-ready", timeout="1h", default={"rows": 0}, deadline="30m")
    load = shell("load", rows=data["payload"]["rows"], by=ok["by"])
    blocks = (
        Workflow("w", ok >> data >> timer("pause", after="10m") >> load).definition().body.blocks
    )
    assert blocks[0].gate.approval == d.Approval(
        roles=["admin", "owner"], message="Publish?", reject_fails=True
    )
    assert (blocks[0].gate.timeout_ms, blocks[0].gate.on_timeout) == (
        172_800_000,
        d.GATE_TIMEOUT_REJECT,
    )
    assert blocks[1].gate.signal.name == "data-ready"
    assert (blocks[1].gate.on_timeout, blocks[1].gate.default_json) == (
        d.GATE_TIMEOUT_DEFAULT,
        '{"rows":0}',
    )
    assert blocks[1].deadline_ms == 1_800_000
    assert blocks[2].gate.timer.after_ms.literal_json == "600000"
    rows = blocks[3].step.inputs["rows"].expression
    assert (rows.cel, rows.variables["value"].output.step) == ('value["rows"]', "data")


def test_a_gate_that_waits_for_a_run_says_which_and_what_it_takes() -> None:
    day = param("day", "date")
    found = last_run(
        "sales",
        "daily-sales",
        params={"day": day},
        outputs={"total": int},
        max_age="1d",
        timeout="6h",
        on_timeout="skip",
    )
    load = shell("load", total=found["total"], run=found["run_id"])
    blocks = Workflow("w", found >> load).definition().body.blocks
    run = d.RunGate(
        workflow="daily-sales", outputs={"total": d.VALUE_TYPE_INT}, max_age_ms=86_400_000
    )
    run.params["day"].parameter = "day"
    assert blocks[0].gate == d.Gate(run=run, timeout_ms=21_600_000, on_timeout=d.GATE_TIMEOUT_SKIP)
    assert blocks[1].step.inputs["run"].output.output == "run_id"
    gate = only(last_run("x", "y", wait=False, on_timeout="skip")).gate
    assert (gate.run.no_wait, gate.on_timeout) == (True, d.GATE_TIMEOUT_SKIP)
    sales = Workflow("other", shell("a", day=day), outputs={"n": day})
    assert last_run("x", sales)["n"].output == "n"


def test_gates_say_who_answers_them() -> None:
    ok = approval("ok", not_submitter=True)
    go = signal("go", roles=["owner", "admin"])
    blocks = Workflow("w", ok >> go >> shell("load")).definition().body.blocks
    assert blocks[0].gate.approval == d.Approval(reject_fails=True, not_submitter=True)
    assert blocks[1].gate.signal == d.SignalGate(name="go", roles=["admin", "owner"])


def test_a_signal_gate_says_which_signals_it_takes() -> None:
    go = signal("go", where="payload.day == params.day && payload.rows > 0")
    flow = Workflow("w", go, parameters=[param("day", str)])
    block = flow.definition().body.blocks[0]
    assert block.gate.signal.where_cel == "payload.day == params.day && payload.rows > 0"


def test_a_timer_takes_times_and_values() -> None:
    at = datetime(2026, 11, 24, 6, tzinfo=UTC)
    assert only(timer("t", at=at)).gate.timer.at.literal_json == '"2026-11-24T06:00:00Z"'
    assert (
        only(timer("t", at="2026-11-24T06:00:00+01:00")).gate.timer.at.literal_json
        == '"2026-11-24T06:00:00+01:00"'
    )
    assert only(timer("t", after=param("wait", int))).gate.timer.after_ms.parameter == "wait"


def test_hooks_beside_a_step_start_by_rules_and_nothing_waits_for_them() -> None:
    train, after = shell("train", deadline="1h"), shell("after")
    a, b, c, e = (shell(name) for name in "abce")
    watched = train.on_running(a).on_retry(b >> c, e.optional())
    graph = Workflow("w", watched.on_late(shell("late")) >> after).definition().body
    assert edges(graph) == [
        "b->c",
        "train->a",
        "train->after",
        "train->b",
        "train->e",
        "train->late",
    ]
    rules = {block.name: block.trigger for block in graph.blocks if block.trigger}
    assert rules == {
        "a": d.TRIGGER_RULE_ANY_RUNNING,
        "b": d.TRIGGER_RULE_ANY_RETRIED,
        "e": d.TRIGGER_RULE_ANY_RETRIED,
        "late": d.TRIGGER_RULE_ANY_LATE,
    }
    assert [block.name for block in graph.blocks if block.optional] == ["e"]


def test_a_sub_workflow_is_not_waited_for_gets_parameters_passed_on_or_has_a_memo() -> None:
    day, more = param("day", "date"), param("more", int, default=1)
    child = Workflow("child", shell("c", day=day, more=more))
    began = sub_workflow("began", child, wait=False, pass_params=True)
    kept = sub_workflow("kept", "other", outputs={"x": int}, memo=Memo(salt="2", max_age="1d"))
    after = shell("after", run=began["run_id"], day=day)
    graph = Workflow("w", began >> after >> kept).definition().body
    blocks = {block.name: block.sub_workflow for block in graph.blocks}
    assert (blocks["began"].detached, blocks["began"].pass_params) == (True, True)
    assert blocks["began"].outputs == {"run_id": d.VALUE_TYPE_STRING}
    assert (blocks["kept"].memo.enabled, blocks["kept"].memo.salt) == (True, "2")
    assert blocks["kept"].memo.max_age_ms == 86_400_000
    assert not blocks["kept"].detached


def test_a_sub_workflow_is_named_or_given_itself() -> None:
    train = shell("train", day=param("day", "date"), outputs={"rmse": float, "model": "model"})
    child = Workflow("child", train, outputs={"rmse": train["rmse"], "model": train["model"]})
    named = sub_workflow(
        "named", "other", outputs={"score": float}, version="sha256:" + "0" * 64, n=3
    )
    given = sub_workflow("given", child, day="2026-11-24", timeout="1h")
    last_one = shell("end", score=named["score"], model=given["model"])
    workflow = Workflow("w", named >> given >> last_one)
    blocks = workflow.definition().body.blocks
    assert blocks[0].sub_workflow.params["n"].literal_json == "3"
    assert blocks[0].sub_workflow.outputs == {"score": d.VALUE_TYPE_FLOAT}
    assert (blocks[1].sub_workflow.workflow, blocks[1].timeout_ms) == ("child", 3_600_000)
    assert blocks[1].sub_workflow.outputs == {
        "rmse": d.VALUE_TYPE_FLOAT,
        "model": d.VALUE_TYPE_MODEL,
    }
    assert blocks[2].step.inputs["model"].output == d.OutputReference(step="given", output="model")
    assert workflow.children == (child,)


def test_a_parameter_of_a_sub_workflow_may_have_the_name_of_another_systems_option() -> None:
    child = Workflow("child", shell("train", conf=param("conf", "map")))
    known = sub_workflow("known", child, conf={"a": 1})
    named = sub_workflow("named", "other", params={"conf": {"a": 1}, "timout": 2})
    blocks = Workflow("w", known >> named).definition().body.blocks
    assert [sorted(block.sub_workflow.params) for block in blocks] == [["conf"], ["conf", "timout"]]


def test_a_foreach_may_search_a_grid() -> None:
    start = shell("start", outputs={"depths": list})
    trial = each(
        "trial", grid(lr=[0.1, 0.01], depth=start["depths"]), stop_early=median("loss", min_step=3)
    )
    train = shell("train", lr=trial["lr"], all=trial)
    loop = Workflow("w", start >> train**trial).definition().body.blocks[1].for_each
    assert loop.sweep.grid.axes["lr"].literal_json == "[0.1,0.01]"
    assert loop.sweep.grid.axes["depth"].output.output == "depths"
    assert not loop.HasField("items")
    assert loop.early_stopping == d.EarlyStopping(
        metric="loss", goal=d.GOAL_MINIMIZE, median=d.MedianRule(min_step=3, min_cells=3)
    )
    lr = loop.body.blocks[0].step.inputs["lr"].expression
    assert (lr.cel, lr.variables["value"].item) == ('value["lr"]', "trial")


def test_a_foreach_may_search_a_sample() -> None:
    space = sample(
        {"lr": log_uniform(1e-4, 1)},
        count=20,
        seed=7,
        depth=integers(2, 8),
        drop=uniform(0, 0.5),
        kind=["a", "b"],
    )
    rule = halving("acc", goal="maximize", eta=4)
    loop = only(shell("a") ** each("trial", space, stop_early=rule)).for_each
    drawn = loop.sweep.random
    assert (drawn.count, drawn.seed) == (20, 7)
    assert drawn.axes["lr"].log_uniform == d.Range(low=1e-4, high=1)
    assert drawn.axes["depth"].integer == d.Range(low=2, high=8)
    assert drawn.axes["drop"].uniform == d.Range(low=0, high=0.5)
    assert drawn.axes["kind"].choice.literal_json == '["a","b"]'
    assert loop.early_stopping.halving == d.SuccessiveHalving(min_step=1, eta=4)
    assert loop.early_stopping.goal == d.GOAL_MAXIMIZE


def test_items_may_come_from_an_artifact_of_json_lines() -> None:
    start = shell("start", outputs={"rows": "dataset"})
    loop = (
        Workflow("w", start >> shell("a") ** each("row", start["rows"])).definition().body.blocks[1]
    )
    assert loop.for_each.items.output.output == "rows"


def test_a_repeat_may_wait_between_its_passes() -> None:
    a = shell("a", outputs={"ok": bool})
    loop = only(
        repeat(
            a,
            until=a["ok"],
            max_iterations=4,
            backoff="10s",
            factor=3,
            max_backoff="1m",
            timeout="1h",
        )
    )
    assert (loop.repeat.backoff_ms, loop.repeat.backoff_factor, loop.repeat.max_backoff_ms) == (
        10_000,
        3,
        60_000,
    )
    assert loop.timeout_ms == 3_600_000


def test_a_step_produces_datasets_whose_partition_may_be_known_later(build: Build) -> None:
    workflow = build("""
from kaon import *
day = param("day", "date")
a = steps.shell("a", argv=["x"], produces=[dataset("ratings", partition=day), dataset("users")])
b = steps.shell("b", argv=["x"], produces=dataset("raw.ratings", partition=7))
w = Workflow("w", a >> b)
""")
    first, second = workflow.definition().body.blocks
    assert dict(first.step.datasets) == {"ratings": "", "users": ""}
    assert dict(first.bound) == {"step.datasets.ratings": d.Binding(parameter="day")}
    assert dict(second.step.datasets) == {"raw.ratings": "7"}
    assert not second.bound


def test_a_step_may_be_memoized_tagged_exclusive_and_bounded(build: Build, project: Path) -> None:
    (project / "requirements.txt").write_text("")
    workflow = build("""
from kaon import *
step = steps.shell(
    "a", argv=["x"], tags=["gpu", "db"], memo=Memo(salt="2", max_age="1d"), exclusive=True, requirements="requirements.txt",
    timeout="1m", total_timeout="1h", deadline="10m", resources=Resources(custom={"licence": 2}),
    retry=Retry(jitter=0.1, rules={ValueError: 1, "Http*": RetryRule(max_attempts=9, backoff="30s")}),
)
w = Workflow("w", step)
""")
    (block,) = workflow.definition().body.blocks
    step = block.step
    assert list(step.tags) == ["db", "gpu"]
    assert step.memo == d.Memo(enabled=True, salt="2", max_age_ms=86_400_000)
    assert (step.exclusive, step.requirements_file) == (True, "requirements.txt")
    assert (step.timeout_ms, block.timeout_ms, block.deadline_ms) == (60_000, 3_600_000, 600_000)
    assert step.resources.custom == {"licence": 2}
    assert step.retry.jitter == 0.1
    assert list(step.retry.rules) == [
        d.RetryRule(error_type="ValueError", max_attempts=1),
        d.RetryRule(error_type="Http*", max_attempts=9, backoff_ms=30_000),
    ]
    assert workflow.definition().code_bundle == workflow.bundle().digest


def test_parameters_have_choices_checks_and_dates() -> None:
    body = shell(
        "a",
        day=param("day", date, default=date(2026, 11, 24)),
        kind=param("kind", str, choices=["b", "a"]),
        rate=param("rate", float, default=1, check="value > 0 && value <= 1"),
    )
    declared = {each.name: each for each in Workflow("w", body).definition().parameters}
    assert (declared["day"].type, declared["day"].default_json) == (
        d.VALUE_TYPE_DATE,
        '"2026-11-24"',
    )
    assert list(declared["kind"].choices_json) == ['"b"', '"a"']
    assert declared["rate"].constraint_cel == "value > 0 && value <= 1"


def test_a_workflow_says_what_its_runs_give_and_how_long_they_may_take() -> None:
    train = shell("train", outputs={"rmse": float})
    body = train ** each("i", [1, 2])
    workflow = Workflow(
        "w",
        body,
        outputs={"scores": train["rmse"], "best": expr("s[0]", s=train["rmse"])},
        timeout="2h",
        deadline="1h",
        max_active_runs=3,
    )
    definition = workflow.definition()
    assert definition.outputs["scores"].type == d.VALUE_TYPE_LIST
    assert definition.outputs["scores"].value.output == d.OutputReference(
        step="train", output="rmse"
    )
    assert definition.outputs["best"].type == d.VALUE_TYPE_ANY
    assert (definition.timeout_ms, definition.deadline_ms, definition.max_active_runs) == (
        7_200_000,
        3_600_000,
        3,
    )


def test_blocks_say_which_locks_they_hold() -> None:
    region = each("region", ["EU", "US"])
    inner = shell("train", locks=semaphore("seat", 3))
    body = group(inner, name="g", locks=[mutex("hall", key=region), mutex("all")]) ** region
    definition = Workflow("w", body).definition()
    (block,) = definition.body.blocks[0].for_each.body.blocks
    assert list(block.locks) == [
        d.Lock(name="all"),
        d.Lock(name="hall", key=d.Binding(item="region")),
    ]
    assert list(block.group.body.blocks[0].locks) == [d.Lock(name="seat", limit=3)]


def test_a_submit_strategy_is_part_of_the_version_unless_it_is_the_usual_one() -> None:
    plain = Workflow("w", shell("a"))
    assert plain.version == Workflow("w", shell("a"), strategy="parallel").version
    definition = Workflow("w", shell("a"), strategy="last-only").definition()
    assert definition.strategy == d.SUBMIT_STRATEGY_LAST_ONLY
    latest = Workflow("w", shell("a"), strategy="sequential-latest").definition()
    assert latest.strategy == d.SUBMIT_STRATEGY_SEQUENTIAL_LATEST


def test_the_workflow_of_a_file_may_run_another_one_of_it(build: Build) -> None:
    workflow = build("""
from kaon import *
child = Workflow("child", steps.shell("a", argv=["x"]))
parent = Workflow("parent", sub_workflow("c", child))
""")
    assert workflow.name == "parent"


def test_publish_takes_a_model_and_its_metrics() -> None:
    train = shell("train", outputs={"model": "model", "metrics": "metrics"})
    publish = steps.publish(
        "publish",
        "recommender",
        model=train["model"],
        metrics=train["metrics"],
        outputs={"version": int},
    )
    step = Workflow("w", train >> publish).definition().body.blocks[1].step
    assert json.loads(step.config_json) == {"model_name": "recommender"}
    assert step.inputs["model"].output.output == "model"
    assert step.inputs["metrics"].output.output == "metrics"


def test_a_workflow_without_code_has_no_bundle(build: Build) -> None:
    workflow = build('from kaon import *\nw = Workflow("w", steps.shell("a", argv=["true"]))\n')
    assert workflow.definition().code_bundle == ""


@pytest.mark.parametrize(
    "settings",
    [
        'argv=["./bin/load"]',
        'argv=["bin/../bin/load", "now"]',
        'argv=["perl", "${KAON_BUNDLE}/bin/load"]',
        'argv=["sh", "-c", "$KAON_BUNDLE/bin/load"]',
        'argv=["env"], env={"PERL5LIB": "${KAON_BUNDLE}/lib"}',
    ],
)
def test_programs_of_the_workflow_travel_in_its_bundle(
    build: Build, project: Path, settings: str
) -> None:
    program(project / "bin" / "load")
    workflow = build(f'from kaon import *\nw = Workflow("w", steps.shell("a", {settings}))\n')
    assert workflow.definition().code_bundle == workflow.bundle().digest
    entry = zipfile.ZipFile(BytesIO(workflow.bundle().data)).getinfo("bin/load")
    assert entry.external_attr >> 16 & 0o111


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_the_bundle_holds_the_code_and_nothing_else(build: Build, project: Path) -> None:
    (project / "train.R").write_text("1")
    (project / "data.csv").write_text("2")
    (project / "secret.txt").write_text("3")
    (project / "keep.pyc").write_text("4")
    for skipped in (
        "tests/test_x.py",
        "__pycache__/a.pyc",
        ".git/config",
        "env/pyvenv.cfg",
        "env/lib.py",
        "big/x.bin",
    ):
        (project / skipped).parent.mkdir(exist_ok=True)
        (project / skipped).write_text("no")
    (project / ".kaonignore").write_text("# not for runners\nsecret.*\n/big/\n!keep.pyc\n")
    workflow = build('from kaon import *\nw = Workflow("w", steps.r("a", "train.R"))\n')
    bundle = workflow.bundle()
    assert bundle.files == ("data.csv", "flow.py", "keep.pyc", "train.R")
    assert workflow.definition().code_bundle == bundle.digest
    assert zipfile.ZipFile(BytesIO(bundle.data)).read("train.R") == b"1"


def test_the_bundle_depends_on_the_content_alone(build: Build, project: Path) -> None:
    (project / "train.R").write_text("1")
    text = 'from kaon import *\nw = Workflow("w", steps.r("a", "train.R"))\n'
    first = build(text)
    before = first.bundle().digest
    (project / "train.R").touch()
    (project / "flow.py").unlink()
    again = build(text)
    assert (again.bundle().digest, again.version) == (before, first.version)
    (project / "train.R").write_text("2")
    assert build(text).bundle().digest != before


@pytest.mark.parametrize("verb", [sequence, parallel])
def test_a_single_part_is_itself(verb: Callable[..., object]) -> None:
    a = shell("a")
    assert Workflow("w", verb(a)).definition() == Workflow("w", a).definition()  # type: ignore[arg-type]


def test_a_chain_of_thousands_of_steps_compiles() -> None:
    chain = shell("s0") >> shell("s1")
    for number in range(2, 3000):
        chain = chain >> shell(f"s{number}")
    assert len(Workflow("w", chain).definition().body.edges) == 2999
