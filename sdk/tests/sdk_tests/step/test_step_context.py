"""What a step's code gets from Kaon, and how its results are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kaon.step import Artifact, StepContext
from kaon.step.call import takes_context
from kaon.step.outputs import InvalidOutputs, named


def document(tmp_path: Path, **rest: Any) -> dict[str, Any]:
    paths = {
        name: str(tmp_path / name)
        for name in ("work", "outputs", "artifacts", "events", "commands")
    }
    base = {
        "run_id": "run-1",
        "workflow": "w",
        "step": "cycle#2/train",
        "attempt": 2,
        "iteration": 2,
        "inputs": {},
        "params": {},
        "config": {},
        "outputs": {"model": "model"},
        "scratch": "file:///scratch",
        "checkpoint": None,
        "paths": paths,
    }
    return {**base, **rest}


def context(tmp_path: Path, **rest: Any) -> tuple[StepContext, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return StepContext(document(tmp_path, **rest), events.append), events


def test_artifacts_among_the_inputs_are_objects_also_within_lists(tmp_path: Path) -> None:
    reference = {
        "artifact": {
            "uri": "file:///x",
            "digest": "sha256:1",
            "type": "model",
            "size": 3,
            "path": "/local/x",
        }
    }
    step, _ = context(tmp_path, inputs={"one": reference, "many": [reference, None], "rank": 4})
    one = step.inputs["one"]
    assert isinstance(one, Artifact)
    assert (one.uri, one.type, one.size, one.path) == ("file:///x", "model", 3, Path("/local/x"))
    assert step.inputs["many"] == [one, None]
    assert step.inputs["rank"] == 4


def test_a_long_list_that_came_as_json_lines_is_a_list_again(tmp_path: Path) -> None:
    (tmp_path / "items").write_text(
        '1\n{"a": [2]}\n{"artifact": {"uri": "hdfs://h/m", "type": "model"}}\nnull\n'
    )
    reference = {
        "artifact": {
            "uri": "file:///items",
            "digest": "sha256:1",
            "type": "list",
            "media_type": "application/x-ndjson",
            "path": str(tmp_path / "items"),
        }
    }
    step, _ = context(tmp_path, inputs={"scores": reference})
    assert step.inputs["scores"] == [1, {"a": [2]}, Artifact(uri="hdfs://h/m", type="model"), None]


def test_an_artifact_without_a_local_copy_says_where_to_read_it() -> None:
    with pytest.raises(FileNotFoundError, match="hdfs://data"):
        os.fspath(Artifact(uri="hdfs://data"))


def test_directories_are_made_on_first_use(tmp_path: Path) -> None:
    step, _ = context(tmp_path)
    assert not (tmp_path / "artifacts").exists()
    step.artifact_path("model").write_text("x")
    assert (tmp_path / "artifacts" / "model").read_text() == "x"
    assert step.work.is_dir()


def test_an_undeclared_artifact_is_refused_by_name(tmp_path: Path) -> None:
    step, _ = context(tmp_path)
    with pytest.raises(ValueError, match="'plot'; it declares model"):
        step.artifact_path("plot")


def test_an_output_may_have_an_extension(tmp_path: Path) -> None:
    step, _ = context(tmp_path)
    assert step.artifact_path("model", ".tar.gz") == tmp_path / "artifacts" / "model.tar.gz"
    for wrong in ("tar.gz", ".", "..", "./x", "/x"):
        with pytest.raises(ValueError, match="is no extension"):
            step.artifact_path("model", wrong)


def test_an_artifact_that_is_handed_on_keeps_what_is_known_of_it() -> None:
    reference = {
        "uri": "file:///x",
        "digest": "sha256:1",
        "type": "dataset",
        "size": 3,
        "name": "x.csv.gz",
    }
    artifact = Artifact.from_reference({**reference, "path": "/cache/x.csv.gz"})
    assert (artifact.name, artifact.path) == ("x.csv.gz", Path("/cache/x.csv.gz"))
    assert artifact.to_reference() == reference
    assert "name" not in Artifact(uri="hdfs://data").to_reference()


def test_progress_stays_between_0_and_1(tmp_path: Path) -> None:
    step, events = context(tmp_path)
    step.progress(1.5, "done")
    step.metric("rmse", 1, step=7)
    step.metric("rmse", 1, step=0)
    step.metric("rmse", 1)
    assert events == [
        {"kind": "progress", "fraction": 1.0, "message": "done"},
        {"kind": "metric", "name": "rmse", "value": 1.0, "step": 7, "step_given": True},
        {"kind": "metric", "name": "rmse", "value": 1.0, "step": 0, "step_given": True},
        {"kind": "metric", "name": "rmse", "value": 1.0},
    ]


def test_a_checkpoint_that_is_too_large_is_refused(tmp_path: Path) -> None:
    step, events = context(tmp_path)
    with pytest.raises(ValueError, match="too large"):
        step.checkpoint("x" * 70_000)
    assert events == []


def test_a_metric_whose_name_is_too_long_is_refused_and_not_cut(tmp_path: Path) -> None:
    step, events = context(tmp_path)
    with pytest.raises(ValueError, match="201 characters, the limit is 200"):
        step.metric("x" * 201, 1.0)
    assert events == []


def test_a_step_watches_its_cancel_from_the_first_look_on(tmp_path: Path) -> None:
    ignorant, watching = context(tmp_path)[0], context(tmp_path)[0]
    assert not watching.cancelled
    assert not ignorant.cancel()
    assert watching.cancel()
    assert watching.cancelled


@pytest.mark.parametrize(
    ("returned", "declared", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": "int", "b": "int"}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": "int"}, {"a": 1}),
        (5, {"a": "int"}, {"a": 5}),
        ({"a": {"a": 1}}, {"a": "map"}, {"a": {"a": 1}}),
        ({"a": 1}, {"a": "any"}, {"a": 1}),
        ([{"x": 1}], {"a": "any"}, {"a": [{"x": 1}]}),
        ({"a": {"x": 1}}, {"a": "map"}, {"a": {"x": 1}}),
        ({"other": 1}, {"a": "int"}, {"other": 1}),
        (None, {}, {}),
        (None, {"model": "model"}, {}),
        ("/tmp/m", {"model": "model"}, {"model": {"path": "/tmp/m"}}),
        ("hdfs://h/m", {"model": "model"}, {"model": {"uri": "hdfs://h/m", "type": "model"}}),
        ((1, 2), {"a": "list"}, {"a": [1, 2]}),
    ],
)
def test_what_a_function_returns_becomes_its_outputs(
    returned: Any, declared: dict[str, str], expected: dict[str, Any]
) -> None:
    assert named(returned, declared) == expected


@pytest.mark.parametrize("kind", ["map", "any"])
@pytest.mark.parametrize("returned", [{"x": 1}, {"A": {"x": 1}}, {"a": {}, "b": {}}, {}])
def test_a_dict_without_the_only_output_by_its_name_is_refused_with_the_fix(
    returned: dict[str, Any], kind: str
) -> None:
    with pytest.raises(
        InvalidOutputs, match=f"must have 'a' \\({kind}\\) alone: return {{'a': value}}"
    ):
        named(returned, {"a": kind})


def test_data_whose_only_key_is_the_name_of_the_output_is_refused_with_the_fix() -> None:
    with pytest.raises(InvalidOutputs, match=r"a int under that name: return {'a': value}"):
        named({"a": 1}, {"a": "map"})


def test_a_value_that_is_no_json_is_refused_by_its_type() -> None:
    with pytest.raises(InvalidOutputs, match="set"):
        named({"a": {1, 2}}, {"a": "list"})


def test_a_single_value_for_several_outputs_is_refused_with_their_names() -> None:
    with pytest.raises(InvalidOutputs, match="a, b"):
        named(1, {"a": "int", "b": "int"})


def test_only_a_parameter_named_context_gets_the_context() -> None:
    assert takes_context(lambda context, a: a)
    assert takes_context(lambda a, *, context: a)
    assert not takes_context(lambda a: a)
