"""A limit for the branches, and one within each of them: Argo's parallelism-nested.yaml."""

from __future__ import annotations

from kaon import Workflow, each, expr, param, steps

number = each("number", param("numbers", list, default=[1, 2]), max_concurrency=1)
letter = each("letter", ["x", "y", "z"], max_concurrency=2)
echo = steps.shell(
    "echo",
    ["echo", "${text}"],
    text=expr("string(number) + letter", number=number, letter=letter),
    stdout="text",
    outputs={"text": str},
)

workflow = Workflow("parallelism-nested", (echo**letter) ** number, outputs={"all": echo["text"]})

EXPECTED = {"outputs": {"all": [["1x", "1y", "1z"], ["2x", "2y", "2z"]]}, "count": {"echo": 6}}
