"""A step for each item of a list, and one that adds them up: Airflow's example_dynamic_task_mapping.py."""

from __future__ import annotations

from kaon import Workflow, each, param, steps


def add_one(x: int) -> int:
    """Adds one."""
    return x + 1


def total(values: list[int]) -> int:
    """Adds all values up."""
    return sum(values)


x = each("x", param("numbers", list[int], default=[1, 2, 3]))
added = steps.python("add-one", add_one, x=x, outputs={"value": int})
summed = steps.python("sum-it", total, values=added["value"], outputs={"total": int})

workflow = Workflow(
    "example-dynamic-task-mapping", added**x >> summed, outputs={"total": summed["total"]}
)

EXPECTED = [
    {"outputs": {"total": 9}, "count": {"add-one": 3}},
    {"params": {"numbers": []}, "outputs": {"total": 0}, "count": {"add-one": 0}},
]
