"""Parts that a step makes, a map over their files, and a reduce: Argo's map-reduce.yaml."""

from __future__ import annotations

import json
from pathlib import Path

from kaon import Workflow, each, expr, param, steps
from kaon.step import Artifact


def split(count: int) -> Path:
    """Writes the parts, each in a file."""
    parts = Path("parts")
    parts.mkdir()
    for number in range(count):
        (parts / f"{number}.json").write_text(json.dumps({"foo": number + 1}))
    return parts


def double(parts: Artifact, number: int) -> Path:
    """Maps one part."""
    value = json.loads(Path(parts, f"{number}.json").read_text())
    out = Path("mapped.json")
    out.write_text(json.dumps({"bar": value["foo"] * 2}))
    return out


def total(mapped: list[Artifact]) -> int:
    """Reduces the mapped parts."""
    return sum(json.loads(Path(part).read_text())["bar"] for part in mapped)


count = param("count", int, default=4)
splitting = steps.python("split", split, count=count, outputs={"parts": "file"})
number = each("number", expr("range(count)", count=count))
mapping = steps.python(
    "map", double, parts=splitting["parts"], number=number, outputs={"mapped": "file"}
)
reducing = steps.python("reduce", total, mapped=mapping["mapped"], outputs={"total": int})

workflow = Workflow(
    "map-reduce", splitting >> mapping**number >> reducing, outputs={"total": reducing["total"]}
)

EXPECTED = {"outputs": {"total": 20}, "count": {"map": 4}}
