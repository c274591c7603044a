"""The workflows that the console is measured with."""

from __future__ import annotations

import time
from pathlib import Path

from kaon import Workflow, each, param, steps


def split(file: str, count: int) -> dict[str, dict[str, str]]:
    """Writes the items of a foreach: more than a value holds."""
    Path(file).write_text("".join(f"{number}\n" for number in range(count)))
    return {"items": {"path": file}}


def work(item: int, seconds: float) -> dict[str, float]:
    """One cell."""
    time.sleep(seconds)
    return {"score": item % 1000 / 1000}


def talk(lines: int) -> None:
    """Prints as many lines, of which one in a hundred thousand can be searched for."""
    for number in range(lines):
        print(
            f"line {number}: "
            + ("a needle" if number % 100_000 == 99_999 else "loss 0.731 of the batch")
        )


file, count = param("file", str), param("count", int)
seconds = param("seconds", float, default=0.0)
items = steps.python("split", split, file=file, count=count, outputs={"items": "dataset"})
item = each("item", items["items"])
score = steps.python("work", work, item=item, seconds=seconds, outputs={"score": float})
cells = Workflow("bench-cells", items >> score**item)

lines = param("lines", int)
talking = Workflow("bench-log", steps.python("talk", talk, lines=lines))
