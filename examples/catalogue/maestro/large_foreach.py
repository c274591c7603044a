"""Hundreds of cells, so many at once, with a tag that limits all workflows: Maestro's sample-large-foreach-wf.json."""

from __future__ import annotations

from kaon import Workflow, each, expr, param, steps


def combine(i: int, j: str) -> str:
    """Joins a pair."""
    return f"{i}{j}"


days = param("days", int, default=366, check="value > 2")
letters = param("letters", list[str], default=["a", "b", "c"], check="size(value) > 2")
pair = each(
    "pair",
    expr("range(n).map(i, letters.map(j, {'i': i, 'j': j})).flatten()", n=days, letters=letters),
    max_concurrency=100,
)
job = steps.python("job2", combine, i=pair["i"], j=pair["j"], tags=["no-op"], outputs={"text": str})
count = steps.shell(
    "count",
    ["echo", "${count}"],
    count=expr("size(texts)", texts=job["text"]),
    stdout="n",
    outputs={"n": int},
)

workflow = Workflow("large-foreach", job**pair >> count, outputs={"n": count["n"]})

EXPECTED = {"params": {"days": 15}, "outputs": {"n": 45}, "count": {"job2": 45}}
