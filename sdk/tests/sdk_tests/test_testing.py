"""What tests of users' steps get."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon.step import Artifact, StepCancelled, StepContext
from kaon.step.outputs import InvalidOutputs
from kaon.testing import FakeHive, FakePublish, FakeSpark, RecordedContext, step_context


def train(context: StepContext, rows: int, data: Artifact) -> dict[str, object]:
    start = (context.last_checkpoint or {"epoch": 0})["epoch"]
    for epoch in range(start, rows):
        context.metric("rmse", 1 / (epoch + 1))
        context.checkpoint({"epoch": epoch + 1})
    context.progress(1, "done")
    model = context.artifact_path("model", ".txt")
    model.write_text(Path(data).read_text().upper())
    return {"model": model, "rows": rows}


def test_a_context_records_what_a_step_tells(
    kaon_context: Callable[..., RecordedContext], tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("a,b")
    context = kaon_context(
        {"rows": 3, "data": data},
        outputs={"model": "model", "rows": "int"},
        last_checkpoint={"epoch": 1},
    )
    produced = context.call(train)
    assert (produced["rows"], produced["model"].read_text()) == (3, "A,B")
    assert context.metrics == {"rmse": [1 / 2, 1 / 3]}
    assert context.checkpoints == [{"epoch": 2}, {"epoch": 3}]
    assert context.progress_reports == [(1.0, "done")]
    assert context.params == {"rows": 3}
    assert isinstance(context.inputs["data"], Artifact)
    assert context.inputs["data"].name == "data.csv"


def test_outputs_are_what_the_step_declares_as_at_a_runner(
    kaon_context: Callable[..., RecordedContext],
) -> None:
    context = kaon_context({}, outputs={"a": "int", "b": "int"})
    with pytest.raises(InvalidOutputs, match="gave a; it declares a, b"):
        context.call(lambda: {"a": 1})


def test_signals_reach_the_step_in_their_order() -> None:
    context = step_context()
    context.send_signal("more", {"rows": 1})
    context.send_signal("stop")
    context.send_signal("more", {"rows": 2})
    signal = context.wait_signal("stop")
    assert signal is not None
    assert (signal.name, signal.payload) == ("stop", None)
    assert [each.payload for each in context.signals()] == [{"rows": 1}, {"rows": 2}]
    assert context.signals() == []


def test_a_cancelled_step_sees_it() -> None:
    context = step_context()
    assert not context.cancelled
    assert context.cancel()
    assert context.cancelled
    assert issubclass(StepCancelled, BaseException)


def test_the_files_of_a_context_are_gone_with_it() -> None:
    context = step_context()
    work = context.work
    assert work.is_dir()
    del context
    gc.collect()
    assert not work.exists()


def test_a_fake_says_which_answer_the_test_lacks() -> None:
    context = step_context(step="regions[US]/get-users", outputs={"users": "dataset"})
    with pytest.raises(LookupError, match=r"FakeHive\(\{'get-users': \{'users': \.\.\.\}\}\)"):
        FakeHive().perform(context, None)


def test_rows_and_bytes_become_the_content_of_artifacts() -> None:
    context = step_context(
        {"day": "2026-01-01"},
        step="get-users",
        outputs={"users": "dataset", "raw": "file", "rows": "int"},
    )
    fake = FakeHive(
        {"get-users": lambda call: {"users": [{"day": call.inputs["day"]}], "raw": b"x", "rows": 1}}
    )
    given = fake.perform(context, None)
    assert given["users"].read_text() == '{"day": "2026-01-01"}\n'
    assert (given["raw"].read_bytes(), given["rows"]) == (b"x", 1)
    assert [call.path for call in fake.calls] == ["get-users"]


def test_functions_of_spark_steps_get_the_session_of_the_test() -> None:
    def count(spark: list[int], rows: int) -> dict[str, int]:
        return {"n": len(spark) + rows}

    context = step_context({"rows": 2}, step="count", outputs={"n": "int"})
    assert FakeSpark(session=[1, 2, 3]).perform(context, count) == {"n": 5}
    with pytest.raises(LookupError):
        FakeSpark().perform(context, count)


def test_published_models_are_counted_by_name() -> None:
    fake = FakePublish()
    model = Artifact(uri="file:///m", digest="sha256:1", type="model")
    for version in (1, 2):
        context = step_context(
            {"model": model},
            step="publish",
            config={"model_name": "m"},
            outputs={"version": "int", "digest": "string"},
        )
        assert fake.perform(context, None) == {"version": version, "digest": "sha256:1"}
    assert len(fake.published["m"]) == 2


def test_the_plug_in_costs_other_tests_nothing() -> None:
    heavy = "('kaon.dsl', 'kaon.client', 'kaon_embedded', 'grpc', 'google')"
    code = (
        f"import sys, kaon.testing.plugin; print([m for m in sys.modules if m.startswith({heavy})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
