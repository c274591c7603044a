"""What the console's Code tab writes of a definition is that workflow: as Python it compiles to the same graph again."""

from __future__ import annotations

import base64
import difflib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kaon import Workflow, load_workflow
from kaon.dsl.errors import WorkflowError
from kaon_local.paths import ROOT
from kaonapi.workflow.v1 import definition_pb2

pytestmark = pytest.mark.slow

_WEB = ROOT / "services/console/web"
_BUNDLER = _WEB / "node_modules/.bin/rolldown"
_ENTRY = f"""
import {{ fromBinary }} from "{_WEB}/node_modules/@bufbuild/protobuf";
import {{ readFileSync }} from "node:fs";
import {{ WorkflowDefinitionSchema }} from "{_WEB}/src/gen/kaonapi/workflow/v1/definition_pb";
import {{ writeDefinition }} from "{_WEB}/src/run/code/python";
const all = JSON.parse(readFileSync(0, "utf-8"));
const write = (bytes) => writeDefinition(fromBinary(WorkflowDefinitionSchema, Buffer.from(bytes, "base64"))).text;
process.stdout.write(JSON.stringify(all.map(write)));
"""
_MORE = """
from kaon import *

n = param("n", int, default=3)
database = steps.docker(
    "database", "postgres:17", serves=True, publish={"address": 5432}, ready=["pg_isready"], ready_timeout="2m",
    resources=Resources(cpu=2, memory="2GiB", custom={"licence": 1}),
)
load = steps.docker(
    "load", "load:1", argv=["load", "${at}"], at=database["address"],
    sidecars=[sidecar("cache", "redis:7", ready=["redis-cli", "ping"], memory="256MiB"), sidecar("plain", "x:1")],
    outputs={"rows": list[int], "by": dict[str, list[float]], "n": int},
    retry=Retry(
        max_attempts=5, backoff="5s", factor=3, max_backoff="1m", jitter=0.2, max_duration="10m",
        rules={"ValueError": 1, 75: RetryRule(max_attempts=9, backoff="30s"), "Http*": 4},
    ),
    priority=5, isolation="process", memo=Memo(salt="x", max_age="1d"), timeout="1h", deadline="2h",
)
rules = [RetryRule(message="HTTP 429", max_attempts=8), RetryRule(error="OSError", message="disk", max_attempts=2)]
tell = steps.shell("tell", ["echo", "${n}"], n=load["n"], retry=Retry(rules=rules))
late = steps.shell(
    "late", ["true"], resources=Resources(slots=2, cpu=n),
    retry=Retry(max_attempts=n, backoff="2s", rules={"ValueError": n}),
)
asked = approval("ask", on_timeout="reject", timeout="2d", reject_fails=False, fields=[param("share", float)])
workflow = Workflow("policies-of-all-kinds", database >> load >> tell >> late >> asked)
"""


def _texts(definitions: list[bytes], scratch: Path) -> list[str]:
    """Return what the Code tab writes of each definition."""
    entry, bundle = scratch / "entry.mjs", scratch / "code.mjs"
    entry.write_text(_ENTRY)
    build = [_BUNDLER, entry, "--platform", "node", "--file", bundle]
    subprocess.run(build, cwd=_WEB, check=True, capture_output=True)
    told = json.dumps([base64.b64encode(each).decode() for each in definitions])
    run = subprocess.run(["node", bundle], input=told, check=True, capture_output=True, text=True)
    texts: list[str] = json.loads(run.stdout)
    return texts


def _examples(scratch: Path) -> Iterator[tuple[Path, Workflow]]:
    """Yield the workflow of each file of the examples, and of one that has what these lack."""
    more = scratch / "more" / "workflow.py"
    more.parent.mkdir()
    more.write_text(_MORE)
    for file in (*sorted((ROOT / "examples").rglob("*.py")), more):
        if re.search(r"^workflow = Workflow\(", file.read_text(encoding="utf-8"), re.M):
            yield file, load_workflow(file)


def _as_one_wrote_it(definition: definition_pb2.WorkflowDefinition) -> str:
    """Return a definition without what no text of the workflow itself tells: code, prose, order, defaults of functions."""
    plain = definition_pb2.WorkflowDefinition.FromString(definition.SerializeToString())
    plain.code_bundle = plain.description = ""
    _sort(plain.body)
    return re.sub(r"\n\s*(skipped_json|code_digest): .*", "", str(plain))


def _sort(graph: definition_pb2.Graph) -> None:
    graph.edges.sort(key=lambda edge: (edge.source, edge.target))
    graph.blocks.sort(key=lambda block: block.name)
    for block in graph.blocks:
        match block.WhichOneof("kind"):
            case "branch":
                for way in block.branch.cases:
                    _sort(way.body)
                _sort(block.branch.otherwise)
            case "for_each" | "repeat" | "group" as kind:
                _sort(getattr(block, kind).body)


def _differences(file: Path, name: str, text: str, wanted: str, place: Path) -> str:
    """Return how the written workflow differs from the one in a file; it is compiled beside a copy of the same code."""
    shutil.copytree(file.parent, place)
    written = place / "written_by_the_code_tab.py"
    written.write_text(text)
    try:
        found = _as_one_wrote_it(load_workflow(written, name).definition())
    except WorkflowError as error:
        return str(error)
    lines = difflib.unified_diff(wanted.splitlines(), found.splitlines(), lineterm="", n=1)
    return "\n".join(list(lines)[:20])


@pytest.mark.skipif(not _BUNDLER.exists(), reason="make setup has not fetched the page's packages")
def test_what_the_code_tab_writes_compiles_to_the_same_graph(tmp_path: Path) -> None:
    all_ = [(file, flow.name, flow.definition()) for file, flow in _examples(tmp_path)]
    assert len(all_) > 50
    texts = _texts([definition.SerializeToString() for _, _, definition in all_], tmp_path)
    different: Mapping[str, str] = {
        f"{file.parent.name}/{file.name}": told
        for at, ((file, name, definition), text) in enumerate(zip(all_, texts, strict=True))
        if (
            told := _differences(file, name, text, _as_one_wrote_it(definition), tmp_path / str(at))
        )
    }
    assert different == {}
