"""Kaon: workflows whose steps run in different engines.

Everything here is loaded on first use, so that a step that imports `kaon.step` does not pay for the workflow language.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaon.dsl import (
        Bundle,
        Each,
        Expr,
        Item,
        Last,
        Parameter,
        Part,
        Reference,
        Resources,
        Retry,
        Step,
        Until,
        When,
        Workflow,
        WorkflowError,
        branch,
        each,
        expr,
        for_each,
        last,
        load_workflow,
        parallel,
        param,
        repeat,
        sequence,
        steps,
        until,
        when,
    )

__all__ = [
    "Bundle",
    "Each",
    "Expr",
    "Item",
    "Last",
    "Parameter",
    "Part",
    "Reference",
    "Resources",
    "Retry",
    "Step",
    "Until",
    "When",
    "Workflow",
    "WorkflowError",
    "branch",
    "each",
    "expr",
    "for_each",
    "last",
    "load_workflow",
    "parallel",
    "param",
    "repeat",
    "sequence",
    "steps",
    "until",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kaon' has no attribute {name!r}")
    return getattr(import_module("kaon.dsl"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
