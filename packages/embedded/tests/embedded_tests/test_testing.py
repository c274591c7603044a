"""Whole workflows in the process of a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kaon import Workflow, load_workflow
from kaon.testing import FakeHive, FakePublish, FakeSpark, FinishedRun, run_workflow
from kaon_wire.errors import KaonError

ROOT = Path(__file__).resolve().parents[4]

CODE = """
import os
attempts = []

def clean(users, factor):
    with open(users) as file:
        return {"rows": len(file.readlines()) * factor}

def flaky(context, rows):
    attempts.append(context.attempt)
    if context.attempt < 3:
        raise OSError("not yet")
    return {"rows": rows, "process": os.getpid()}

def fit(spark, context, rows):
    context.metric("rmse", 0.5)
    path = context.artifact_path("model")
    path.write_text(f"{spark} {rows}")
    return {"model": path}
"""
FLOW = """
import code_of_it as code
from kaon import *

users = steps.hive("get-users", query="select 1", outputs={"users": "dataset"})
clean = steps.python("clean", code.clean, users=users["users"], factor=param("factor", int), outputs={"rows": int})
flaky = steps.python("flaky", "code_of_it:flaky", rows=clean["rows"], outputs={"rows": int, "process": int},
                     retry=Retry(max_attempts=3, backoff="1h", rules={"OSError": RetryRule(max_attempts=3, backoff="2h")}),
                     labels=["gpu"], resources=Resources(gpu=8), requirements="requirements.txt")
fit = steps.spark("fit", code.fit, rows=flaky["rows"], outputs={"model": "model"})
ready = signal("ready")
ask = approval("ask", roles=["owner"])
publish = steps.publish("publish", "m", model=fit["model"], outputs={"version": int})
told = steps.shell("tell", ["sh", "-c", 'echo "$1" > "$KAON_STEP_DIR/outputs/text.json"', "sh", "${by}"],
                   by=ask["approved"], outputs={"text": bool})
body = users >> clean >> flaky >> fit >> ready >> timer("settle", after="3h") >> ask >> publish >> told
workflow = Workflow("w", body, outputs={"version": publish["version"], "model": fit["model"],
                                        "payload": ready["payload"], "process": flaky["process"]})
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Workflow]]:
    """Loads a workflow with the code beside it; other tests see none of its modules."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "code_of_it", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    directory = tmp_path / "flow"
    directory.mkdir()
    (directory / "requirements.txt").write_text("a-package-that-is-not-there\n")

    def load(text: str, code: str = CODE) -> Workflow:
        (directory / "code_of_it.py").write_text(code)
        (directory / "flow.py").write_text(text)
        return load_workflow(directory / "flow.py")

    yield load
    sys.modules.pop("code_of_it", None)


def test_a_workflow_runs_to_its_end_with_fakes_and_without_waiting(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun]
) -> None:
    hive = FakeHive({"get-users": {"users": [{"user": 1}, {"user": 2}]}})
    publish = FakePublish()
    done = kaon_run(
        flow(FLOW),
        {"factor": 10},
        fakes=[hive, FakeSpark(session="session"), publish],
        approvals={"ask": True},
        signals={"ready": {"by": "test"}},
    ).succeeded()
    model = done.outputs["model"]
    assert Path(model).read_text() == "session 20"
    assert done.outputs["version"] == 1
    assert done.outputs["payload"] == {"by": "test"}
    assert done.outputs["process"] == os.getpid()
    assert done.steps["flaky"].attempt == 3
    assert done.steps["fit"].metrics == {"rmse": 0.5}
    assert done.steps["tell"].outputs == {"text": True}
    assert [call.config["query"] for call in hive.calls] == ["select 1"]
    assert publish.published["m"][0]["model"].digest == model.digest


def test_a_failure_is_told_by_its_steps(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun]
) -> None:
    done = kaon_run(
        flow(
            "import code_of_it as code\nfrom kaon import *\n"
            "w = Workflow('w', steps.python('clean', code.clean, users='nowhere', factor=1, outputs={'rows': int}))"
        )
    )
    assert done.status == "FAILED"
    assert done.steps["clean"].error.startswith("FileNotFoundError: ")
    with pytest.raises(AssertionError, match="clean: FileNotFoundError"):
        done.succeeded()


def test_a_step_asks_to_be_skipped_in_a_test_too(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun]
) -> None:
    done = kaon_run(
        flow(
            "import code_of_it as code\nfrom kaon import *\n"
            "idle = steps.python('idle', code.idle, outputs={'rows': int})\n"
            "w = Workflow('w', idle, outputs={'how': idle.status, 'why': idle.error['message']})",
            "from kaon.step import StepContext\n"
            "def idle(context: StepContext):\n    context.skip('nothing to do')\n",
        )
    ).succeeded()
    assert done.outputs == {"how": "SKIPPED", "why": "nothing to do"}


OTHERS = """
from kaon import *

day = param("day", "date", default="2026-01-01")
sales = last_run("sales", "daily-sales", params={"day": day}, outputs={"total": float, "rows": "dataset"},
                 max_age="1d", timeout="1h")
before = last_run("before", "nightly", outputs={"loss": float}, timeout="6h", on_timeout="skip")
ask = approval("ask", fields=[param("share", float), param("why", str, default="-")])
body = (sales | before | ask)
workflow = Workflow("w", body, outputs={"total": sales["total"], "rows": sales["rows"], "share": ask["share"],
                                        "why": ask["why"], "loss": coalesce(before["loss"], 1.0)})
"""


def test_runs_of_other_workflows_and_values_of_fields_are_given_by_the_test(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1\n")
    given = {"sales": {"total": 3, "rows": rows}, "before": None}
    done = kaon_run(flow(OTHERS), approvals={"ask": {"share": 0.2}}, last_runs=given).succeeded()
    assert Path(done.outputs.pop("rows")).read_text() == "1\n"
    assert done.outputs == {"total": 3.0, "share": 0.2, "why": "-", "loss": 1.0}


def test_a_second_run_of_a_test_knows_the_first_one(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun]
) -> None:
    workflow = flow(
        "from kaon import *\n"
        "since = param('since', str, default=expr("
        "'i.previous_success == null ? \"\" : string(i.previous_success.end_time)', i=run_info()))\n"
        "before = last_run('before', 'w', outputs={'first': bool}, wait=False, on_timeout='skip')\n"
        "w = Workflow('w', before, outputs={'since': since, 'first': expr("
        "'i.previous_success == null', i=run_info()), 'before': coalesce(before['first'], None)})"
    )
    outputs = [kaon_run(workflow).succeeded().outputs for _ in range(2)]
    assert outputs[0] == {"since": "", "first": True, "before": None}
    assert outputs[1].pop("since").startswith("20")
    assert outputs[1] == {"first": False, "before": True}
    alone = kaon_run(workflow, last_runs={"before": None}).succeeded().outputs
    assert (alone["first"], alone["before"]) == (False, None)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"saels": {}}, "no last_run gate 'saels'; there are: before, sales"),
        ({"before": {}}, "needs parameter 'loss'"),
        ({"before": {"loss": "x"}}, "loss"),
    ],
)
def test_a_stand_in_that_does_not_fit_is_refused(
    flow: Callable[..., Workflow], given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(KaonError, match=problem):
        run_workflow(flow(OTHERS), last_runs=given)


def test_a_run_that_waits_for_the_test_says_for_what(flow: Callable[..., Workflow]) -> None:
    workflow = flow("from kaon import *\nw = Workflow('w', approval('ask'))")
    with pytest.raises(TimeoutError, match="ask WAITING"):
        run_workflow(workflow, timeout=0.5)


def test_a_type_that_cannot_run_here_needs_a_fake(flow: Callable[..., Workflow]) -> None:
    with pytest.raises(KaonError, match=r"get-users.*Give a fake"):
        run_workflow(flow(FLOW), {"factor": 1}, fakes=[FakePublish(), FakeSpark()])


def test_children_run_too_and_an_attempt_that_takes_too_long_times_out(
    flow: Callable[..., Workflow], kaon_run: Callable[..., FinishedRun]
) -> None:
    code = (
        "def one():\n    return {'n': 1}\n"
        "def slow(context):\n    context.wait_signal('never')\n    return {}\n"
    )
    done = kaon_run(
        flow(
            "import code_of_it as code\nfrom kaon import *\n"
            "one = steps.python('one', code.one, outputs={'n': int})\n"
            "inner = Workflow('inner', one, outputs={'n': one['n']})\n"
            "sub = sub_workflow('sub', inner)\n"
            "slow = steps.python('slow', code.slow, timeout='200ms')\n"
            "w = Workflow('w', sub | slow, outputs={'n': sub['n']})",
            code,
        )
    )
    assert done.status == "FAILED"
    assert "Timeout" in done.steps["slow"].error


@pytest.mark.slow
def test_the_page_about_tests_shows_tests_that_pass(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "sdk.md").read_text()
    (part,) = (each for each in text.split("\n## ") if each.startswith("Tests of your own"))
    for name, block in re.findall(r"`([a-z_]+\.py)`:\n\n```python\n(.*?)```", part, re.DOTALL):
        (tmp_path / name).write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "no:asyncio", "-W", "error", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
