"""Functions that a step names as text: found without importing their modules."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon import Workflow, WorkflowError
from kaon_wire import canonical

TRAINER = """
import not_installed_here

def fit(rows, rate=0.1, *, depth, context=None):
    return {"model": not_installed_here.train(rows, rate, depth)}

def prune(rows, label, conf):
    return {}

def all_of_it(**inputs):
    return {}

@not_installed_here.traced
def traced(rows):
    return {}

async def waits(rows):
    return {}

def yields(rows):
    def inner():
        return {}
    yield inner()

def has_a_generator(rows):
    def inner():
        yield 1
    return {"n": len(list(inner()))}

class Trainers:
    @staticmethod
    def fit(rows):
        return {}

try:
    from not_installed_here import fast as chosen
except ImportError:
    chosen = fit
"""


@pytest.fixture
def step(project: Path, build: Callable[[str], Workflow]) -> Callable[[str, str], Workflow]:
    """Builds a workflow of one step that names a function of `trainer.py`."""
    (project / "lib").mkdir()
    (project / "lib" / "trainer.py").write_text(TRAINER)

    def built(function: str, rest: str = "", kind: str = "python") -> Workflow:
        return build(
            f"from kaon import *\nw = Workflow('w', steps.{kind}('a', {function!r}, {rest}))"
        )

    return built


@pytest.mark.parametrize(
    ("function", "rest"),
    [
        ("lib.trainer:fit", "rows=[1], depth=3"),
        # A parameter of a function that looks like an option.
        ("lib.trainer:prune", "rows=[1], label='x', conf=1"),
        ("lib.trainer:all_of_it", "anything=1"),
        ("lib.trainer:has_a_generator", "rows=[1]"),
        # What these take is not told by the source alone.
        ("lib.trainer:traced", "rows=[1], more=2"),
        ("lib.trainer:Trainers.fit", "rows=[1]"),
        ("lib.trainer:chosen", "rows=[1]"),
    ],
)
def test_a_function_is_named_whose_module_cannot_be_imported_here(
    step: Callable[..., Workflow], function: str, rest: str
) -> None:
    workflow = step(function, rest)
    (block,) = workflow.definition().body.blocks
    assert canonical.loads(block.step.config_json) == {"entry": function}
    assert "lib/trainer.py" in workflow.bundle().files
    assert "lib.trainer" not in sys.modules


def test_a_spark_step_may_name_its_function_too_which_gets_the_session(
    step: Callable[..., Workflow], project: Path
) -> None:
    (project / "jobs.py").write_text("def count(spark, context, rows): ...\n")
    (block,) = step("jobs:count", "rows=[1]", "spark").definition().body.blocks
    assert canonical.loads(block.step.config_json) == {"entry": "jobs:count"}


@pytest.mark.parametrize(
    ("function", "rest", "problem"),
    [
        ("lib.trainer:fti", "", "defines no 'fti' at its top; did you mean fit?"),
        ("lib.trainr:fit", "", "has no module 'lib.trainr'"),
        ("lib.trainer:fit", "rows=[1]", "gives no value for 'depth' of function fit("),
        ("lib.trainer:fit", "rows=[1], depth=1, deep=2", "gives 'deep', which function fit("),
        ("lib.trainer:waits", "rows=[1]", "'lib.trainer:waits' is an async function; a step is"),
        ("lib.trainer:yields", "rows=[1]", "'lib.trainer:yields' is a generator; a step gives"),
        ("lib.trainer.fit", "", 'its name as "module:function", not'),
        ("lib.trainer:Trainers.fti", "", "defines no 'fti'"),
        ("json:loads", "", "has no module 'json'"),
    ],
)
def test_a_wrong_name_is_refused_with_the_line(
    step: Callable[..., Workflow], function: str, rest: str, problem: str
) -> None:
    with pytest.raises(WorkflowError, match=re.escape(problem)) as raised:
        step(function, rest)
    assert raised.value.source is not None
    assert raised.value.source.line == 2


def test_the_memo_of_a_named_function_goes_by_its_code(
    step: Callable[..., Workflow], project: Path
) -> None:
    def digest() -> str:
        workflow = step("lib.trainer:fit", "rows=[1], depth=3, memo=True")
        return workflow.definition().body.blocks[0].step.memo.code_digest

    before = digest()
    assert before
    with (project / "lib" / "trainer.py").open("a") as file:
        file.write("# changed\n")
    assert digest() != before
