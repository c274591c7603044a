"""How `kaon validate` and `kaon graph` call blocks: what decides about them is told, too."""

from __future__ import annotations

import pytest

from kaon import Workflow, branch, each, expr, last, repeat, sidecar, steps, when, while_
from kaon.cli import kinds
from kaon.cli.commands.graph import mermaid
from kaon.dsl.blocks import Part

A = steps.shell("a", ["a"], outputs={"x": int, "ok": bool, "rows": list})
B = steps.shell("b", ["b"])


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (repeat(A, until=A["ok"], max_iterations=3), "repeat until a[ok], at most 3 iterations"),
        (
            while_(expr("x < 9", x=last("a.x", 0)), A),
            "while x < 9, at most 100 iterations",
        ),
        (B ** each("row", [1, 2], max_concurrency=4), "for each row, at most 4 at once"),
        (
            steps.docker("c", "app:1", sidecars=[sidecar("db", "postgres"), sidecar("web", "web")]),
            "docker step beside db and web",
        ),
        (steps.docker("c", "app:1"), "docker step"),
    ],
    ids=["repeat", "while", "foreach", "sidecars", "docker"],
)
def test_a_block_is_described_with_what_bounds_it(part: Part, words: str) -> None:
    (block,) = Workflow("w", part).definition().body.blocks
    assert kinds.describe(block).startswith(words)


def test_the_ways_of_a_branch_are_headed_by_their_conditions() -> None:
    ways = branch(
        when(A["ok"], B),
        when(expr('x > 3 && s != "a"', x=A["x"], s="b"), steps.shell("c", ["c"])),
        otherwise=steps.shell("d", ["d"]),
    )
    definition = Workflow("w", A >> ways).definition()
    branches = next(block for block in definition.body.blocks if block.HasField("branch"))
    headings = [heading for heading, _ in kinds.bodies(branches)]
    assert headings == ["when a[ok]", 'when x > 3 && s != "a"', "otherwise"]
    assert '    subgraph branch--1["when x > 3 && s != #quot;a#quot;"]' in list(mermaid(definition))
