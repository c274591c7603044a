"""Conditions in conditions, one of which fails the workflow by itself: Flyte's advanced_composition/conditional.py."""

from __future__ import annotations

from kaon import Workflow, branch, coalesce, expr, param, steps, when

number = param("number", float)


def double(n: float) -> float:
    """Doubles."""
    return 2 * n


def square(n: float) -> float:
    """Squares."""
    return n * n


def fail(n: float) -> None:
    """Fails for what nobody foresaw."""
    raise ValueError(f"{n} is out of range")


doubled = steps.python("double", double, n=number, outputs={"value": float})
squared = steps.python("square", square, n=number, outputs={"value": float})
half = branch(
    when(expr("n < 0.5", n=number), doubled),
    when(expr("n < 0.7", n=number), squared),
    otherwise=steps.python("too-close", fail, n=number),
    name="fraction",
)
top = branch(
    when(expr("n > 0.0 && n < 1.0", n=number), half),
    otherwise=steps.python("out-of-range", fail, n=number),
    name="range",
)

workflow = Workflow(
    "multiply-fractions",
    top,
    outputs={"value": coalesce(doubled["value"], squared["value"])},
)

EXPECTED = [
    {"params": {"number": 0.4}, "outputs": {"value": 0.8}, "count": {"double": 1, "square": 0}},
    {"params": {"number": 0.5}, "outputs": {"value": 0.25}},
    {"params": {"number": 0.9}, "status": "FAILED", "error": "ValueError"},
    {
        "params": {"number": 3.0},
        "status": "FAILED",
        "count": {"out-of-range": 0},
        "error": "ValueError",
    },
]
