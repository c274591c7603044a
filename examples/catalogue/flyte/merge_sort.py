"""A workflow that calls itself on both halves of its list: Flyte's advanced_composition/dynamic_workflow.py (merge sort)."""

from __future__ import annotations

from kaon import Workflow, branch, coalesce, expr, param, steps, sub_workflow, when


def sort(numbers: list[int]) -> list[int]:
    """Sorts a short list."""
    return sorted(numbers)


def split(numbers: list[int]) -> dict[str, list[int]]:
    """Halves a list."""
    middle = len(numbers) // 2
    return {"low": numbers[:middle], "high": numbers[middle:]}


def merge(low: list[int], high: list[int]) -> list[int]:
    """Merges two sorted lists."""
    merged: list[int] = []
    low, high = [*low], [*high]
    while low and high:
        merged.append((low if low[0] <= high[0] else high).pop(0))
    return merged + low + high


numbers = param("numbers", list[int])
short = steps.python("sort-locally", sort, numbers=numbers, outputs={"sorted": list})
halves = steps.python("split", split, numbers=numbers, outputs={"low": list, "high": list})
low, high = (
    sub_workflow(f"sort-{name}", "merge-sort", outputs={"sorted": list}, numbers=halves[name])
    for name in ("low", "high")
)
merged = steps.python(
    "merge", merge, low=low["sorted"], high=high["sorted"], outputs={"sorted": list}
)

workflow = Workflow(
    "merge-sort",
    branch(
        when(expr("size(numbers) <= 2", numbers=numbers), short),
        otherwise=halves >> (low | high) >> merged,
        name="size",
    ),
    outputs={"sorted": coalesce(short["sorted"], merged["sorted"])},
)

EXPECTED = {
    "params": {"numbers": [1813, 3105, 3260, 2634, 383, 7037]},
    "outputs": {"sorted": [383, 1813, 2634, 3105, 3260, 7037]},
    "count": {"merge": 1, "sort-locally": 0},
}
