"""What a step gets of values that were too large to travel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kaon_artifacts import ArtifactStore
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.preparation.environments import Environments
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import PreparedStep
from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2


def prepared(tmp_path: Path, value: Any) -> dict[str, Any]:
    return dict(step_with(tmp_path, value).context)


def step_with(tmp_path: Path, value: Any) -> PreparedStep:
    settings = Settings(artifacts=(tmp_path / "store").as_uri(), work=tmp_path / "work")
    preparer = Preparer(
        ArtifactGateway(settings),
        steps=tmp_path / "steps",
        scratch="file:///scratch",
        incarnation="life-1",
        environments=Environments(tmp_path / "cache", python=sys.executable),
    )
    spec = step_pb2.StepSpec(inputs_json={"value": canonical.dumps(value)})
    request = step_pb2.StepRequest(key=step_pb2.StepKey(run_id="r", path="a"), spec=spec)
    return preparer.prepare(request, lambda: None)


def test_long_lists_and_values_are_put_back_in_their_place(tmp_path: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    model = {"artifact": {**store.put_bytes(b"m", "model").to_json()}}
    items = [1, {"a": ["\u2028"]}, None, model]
    lines = "".join(f"{canonical.dumps(item)}\n" for item in items)
    long = {"artifact": {**store.put_bytes(lines.encode(), "list").to_json()}}
    large = {"artifact": {**store.put_bytes(b'{"k":1.5}', "value").to_json()}}
    context = prepared(tmp_path, [long, large])
    (got_items, got_value) = context["inputs"]["value"]
    assert got_items[:3] == items[:3]
    assert Path(got_items[3]["artifact"]["path"]).read_bytes() == b"m"
    assert got_value == {"k": 1.5}


def test_a_long_list_of_plain_values_is_a_parameter(tmp_path: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    long = {"artifact": {**store.put_bytes(b"1\n2\n", "list").to_json()}}
    assert prepared(tmp_path, long)["params"] == {"value": [1, 2]}


def test_a_step_tells_which_copies_of_artifacts_it_reads(tmp_path: Path) -> None:
    store = ArtifactStore((tmp_path / "store").as_uri())
    (tmp_path / "a.csv").write_text("a")
    named = {"artifact": store.put_file(tmp_path / "a.csv").to_json()}
    elsewhere = {"artifact": {"uri": "hdfs://there/x"}}
    step = step_with(
        tmp_path, [1, named, [elsewhere, {"artifact": store.put_bytes(b"m").to_json()}]]
    )
    assert [copy.read_text() for copy in step.copies] == ["a", "m"]
    assert step.copies[0].name == "a.csv"
    assert step_with(tmp_path, "no artifact").copies == ()
