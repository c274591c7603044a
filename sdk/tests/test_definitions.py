"""What definitions say."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from kaon import (
    Resources,
    Retry,
    Workflow,
    branch,
    each,
    expr,
    for_each,
    last,
    parallel,
    param,
    repeat,
    sequence,
    steps,
    until,
    when,
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
        "check", scores=train["rmse"], old=last("check.score", 1.5), outputs={"ok": bool, "score": float}
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
    assert (old.output.step, old.output.output, old.fallback.literal_json) == ("check", "score", "1.5")
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
    assert list(message.labels) == ["!slow", "docker", "gpu!=none", "spark=4.3", "zone not in (a, b)"]
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
    assert [each.WhichOneof("source") for each in inputs["both"].list.bindings] == ["output", "literal_json"]
    assert inputs["fixed"].literal_json == '{"a":"ü","b":[1,null]}'


def test_unnamed_blocks_get_numbers_where_a_name_is_taken() -> None:
    a, b, cycle = shell("a", outputs={"ok": bool}), shell("b", outputs={"ok": bool}), shell("cycle")
    body = (a ** until(a["ok"], max_iterations=2)) >> (b ** until(b["ok"], max_iterations=2)) >> cycle
    assert [block.name for block in Workflow("w", body).definition().body.blocks] == [
        "cycle-2",
        "cycle-3",
        "cycle",
    ]


def test_every_step_type_gives_its_settings(build: Build, project: Path) -> None:
    (project / "work").mkdir()
    (project / "work" / "__init__.py").write_text("def top(x): ...\n")
    (project / "work" / "clean.py").write_text("def clean(x, context): ...\ndef model(spark, x=1): ...\n")
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


def test_publish_takes_a_model_and_its_metrics() -> None:
    train = shell("train", outputs={"model": "model", "metrics": "metrics"})
    publish = steps.publish(
        "publish", "recommender", model=train["model"], metrics=train["metrics"], outputs={"version": int}
    )
    step = Workflow("w", train >> publish).definition().body.blocks[1].step
    assert json.loads(step.config_json) == {"model_name": "recommender"}
    assert step.inputs["model"].output.output == "model"
    assert step.inputs["metrics"].output.output == "metrics"


def test_a_workflow_without_code_has_no_bundle(build: Build) -> None:
    workflow = build('from kaon import *\nw = Workflow("w", steps.shell("a", argv=["true"]))\n')
    assert workflow.definition().code_bundle == ""


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
