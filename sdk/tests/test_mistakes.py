"""Mistakes are told when the workflow is built, with the file and the line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon import Workflow, WorkflowError, load_workflow
from kaon.dsl.bundle import make_bundle

Build = Callable[[str], Workflow]

START = """\
from kaon import *
def step(name, **rest): return steps.shell(name, argv=["true"], **rest)
a = step("a", outputs={"x": int, "ok": bool, "rows": list, "data": "dataset"})
b = step("b", outputs={"y": int})
"""
END = '\nw = Workflow("w", body)\n'

# What is wrong, the line where the mistake stands (steps are made in line 2), and what the message must say.
MISTAKES = [
    ('body = step("c", v=a["nope"])', 5, "step 'a' has no output 'nope'; it declares x (int)"),
    ("body = a >> b >> a", 2, "cycle: a >> b >> a"),
    ("body = a >> a", 2, "cycle: a >> a"),
    ('body = a >> step("b") >> b', 2, "'b' is used twice"),
    ('body = step("Bad Name")', 2, "'Bad Name' is not a good name for a step"),
    ('body = step("c", v=param("limit"))', 2, "uses parameter 'limit', which the workflow does not declare"),
    ('body = a | step("c", v=a["x"])', 2, "which need not have ended before: write a >> c"),
    ('c = step("c", v=a["x"]); body = c >> a', 2, "which comes after it"),
    ('body = step("c", v=b["y"])', 2, "that step is not part of the workflow"),
    ('body = a >> step("c", v=last(a["x"], 0))', 2, "outside of every repeat"),
    ('body = a >> b ** each("i", a["x"])', 5, "comes from a value of type int; it must be a list"),
    ('body = b ** each("i", 3)', 5, "int; it must be a list"),
    ('body = a >> b ** each("i", a["data"])', 5, "dataset; it must be a list"),
    ('body = a ** until(a["x"], max_iterations=2)', 5, "is a value of type int; it must be a bool"),
    ('body = a ** until(a["x"] == 3, max_iterations=2)', 5, "is always false"),
    (
        'body = a ** until(a["x"] > 3, max_iterations=2)',
        5,
        'write the condition or computation as expr("x > 3"',
    ),
    (
        'body = a ** until(a["ok"], max_iterations=0)',
        5,
        "max_iterations must be a whole number of at least 1",
    ),
    ('body = repeat(a, until=a["ok"], max_iterations=2, exhausted="x")', 5, 'must be "fail" or "accept"'),
    ('body = steps.python("c", lambda: 1)', 5, "runners cannot find a lambda"),
    ("def f():\n def g(): ...\n return g\nbody = steps.python('c', f())", 8, "'f.<locals>.g'"),
    (
        "def f(x, *, y): ...\nbody = steps.python('c', f, x=1)",
        6,
        "gives no value for 'y' of function f(x, y)",
    ),
    (
        "def f(x): ...\nbody = steps.python('c', f, x=1, z=1)",
        6,
        "gives 'z', which function f(x) does not take",
    ),
    ('body = steps.python("c", 3)', 5, "needs a function, not 3"),
    ('body = steps.r("c", "r/none.R")', 5, "there is no file 'r/none.R'"),
    ('body = steps.hive("c", "../x.sql")', 5, "lies outside of the workflow's directory"),
    ("body = parallel()", 5, "parallel() is empty"),
    ("body = sequence(a, parallel())", 5, "parallel() is empty"),
    ('body = a >> a["x"]', 5, "which is data"),
    ("body = a >> len", 5, "make a step of it"),
    ("body = a >> [b]", 5, "joins steps and blocks"),
    ("body = [a] >> b", 5, "joins steps and blocks"),
    ('body = step("c", v=a)', 2, "is the whole step 'a'; name one of its outputs"),
    ('body = a >> step("c", v={"k": a["x"]})', 2, "is a dict with a reference in it"),
    ('body = step("c", v=object())', 2, "not a JSON value"),
    ('body = step("c", v=float("nan"))', 2, "not a JSON value"),
    ('body = step("c", timout="1m")', 2, "did you mean 'timeout' by 'timout'?"),
    ('body = step("c", timeout="soon")', 2, "'soon' is no duration"),
    ('body = step("c", retry=0)', 2, "retry is Retry(...) or the number of attempts"),
    ('body = step("c", labels="gpu")', 2, "labels is a list"),
    ('body = step("c", labels=["gpu>1"])', 2, "'gpu>1' is no label expression"),
    ('body = step("c", outputs={"o": "frame"})', 2, "is declared 'frame', which is no type"),
    ('body = step("c", outputs={"o": set})', 2, "which is no type"),
    ('body = steps.shell("c", argv="ls -l")', 5, "argv is a list of words"),
    ('body = steps.shell("c", argv=["ls", "${dir}"])', 5, "argv names ${dir}, but there is no such input"),
    ('body = a >> steps.publish("c", "m", model=a["x"])', 5, "it must be an artifact"),
    ('body = step("c", v=param("n", int, default="x"))', 5, 'declared int, but its default is "x"'),
    ('body = step("c", v=param("n", "dataset"))', 5, "'dataset' is no type of parameters"),
    ('body = step("c", v=param("n", int), w=param("n", str))', 5, "is declared otherwise at"),
    ('body = step("c", v=expr("x >", x=1))', 5, "is not a CEL expression"),
    ('body = step("c", v=expr("x > y", x=1))', 5, "uses y; give each as an argument"),
    ('body = step("c", v=expr("x > 1", x=1, y=2))', 5, "does not use y"),
    ('r = each("r", a["rows"]); body = a >> step("c", v=r)', 2, "does not stand in the foreach over it"),
    ('r = each("r", a["rows"]); body = a >> (b ** r) ** r', 5, "stands in another foreach with an item 'r'"),
    ('body = (a >> b ** each("r", a["rows"])) | b', 2, "stands in two places"),
    ('body = branch(when(expr("true"), a), otherwise=step("c", v=a["x"]))', 2, "belongs to another case of"),
    (
        'body = a ** until(a["ok"], max_iterations=2) >> step("c", v=last(a["x"]))',
        2,
        "outside of every repeat",
    ),
    ('body = step("c", v=last("zzz.x")) ** until(expr("true"), max_iterations=2)', 2, "has no step 'zzz'"),
    ('body = a >> b ** each("r", a["rows"]) ** each("s", a["rows"])', 5, "write (x ** a) ** b"),
    ('for r in a["rows"]: body = a', 5, "loop with for_each"),
    ('body = a if a["ok"] else b', 5, "has no value while the workflow is built"),
    ("body = 1 / 0", 5, "ZeroDivisionError"),
    ("body = (", 5, "SyntaxError"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES, ids=[text for text, _, _ in MISTAKES])
def test_a_mistake_names_its_line(build: Build, project: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        build(START + text + END)
    told = str(caught.value)
    assert message in told
    assert told.startswith(f"{project / 'flow.py'}:{line}: "), told


def test_an_error_in_a_module_beside_the_workflow_names_that_module(build: Build, project: Path) -> None:
    (project / "helper_with_error.py").write_text("\nx = {}['gone']\n")
    with pytest.raises(WorkflowError, match=re.escape(f"{project / 'helper_with_error.py'}:2: KeyError")):
        build("import helper_with_error\n")


def test_paths_under_the_working_directory_are_told_relative_to_it(
    build: Build, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(WorkflowError, match=r"^flow\.py:5: "):
        build(START + "body = parallel()" + END)


def test_a_file_must_define_exactly_one_workflow(build: Build, project: Path) -> None:
    with pytest.raises(WorkflowError, match="defines no Workflow"):
        build("x = 1\n")
    text = START + 'one = Workflow("one", a)\ntwo = Workflow("two", b)\n'
    with pytest.raises(WorkflowError, match="defines several workflows: one, two"):
        build(text)
    assert load_workflow(project / "flow.py", "two").name == "two"


def test_a_function_outside_of_the_directory_without_a_module_is_refused(build: Build) -> None:
    with pytest.raises(WorkflowError, match="cannot be imported by that name"):
        build(
            'from kaon import *\nimport importlib.util as u, pathlib\nf = pathlib.Path(__file__).with_name("bad-name.py")\n'
            'f.write_text("def g(): ...")\ns = u.spec_from_file_location("bad", f)\nm = u.module_from_spec(s)\n'
            's.loader.exec_module(m)\nw = Workflow("w", steps.python("a", m.g))\n'
        )


def test_an_ignored_file_that_a_step_needs_is_named(build: Build, project: Path) -> None:
    (project / "train.R").write_text("1")
    (project / ".kaonignore").write_text("*.R\n")
    workflow = build('from kaon import *\nw = Workflow("w", steps.r("a", "train.R"))\n')
    with pytest.raises(WorkflowError, match=r"flow\.py:2: train\.R is left out"):
        workflow.definition()


def test_a_bundle_beyond_the_limit_names_its_largest_files(project: Path) -> None:
    (project / "model.bin").write_bytes(b"0" * 3_000_000)
    (project / "x.py").write_text("1")
    with pytest.raises(
        WorkflowError, match=r"would be 2\.9 MiB; the limit is 1\.0 MiB\. Largest files: model\.bin"
    ):
        make_bundle(project, max_bytes=2**20)
