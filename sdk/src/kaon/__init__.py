"""Kaon: workflows whose steps run in different engines.

Everything here is loaded on first use, so that a step that imports `kaon.step` does not pay for the workflow language.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaon.dsl import (
        Bundle,
        Draw,
        Each,
        Expr,
        Gate,
        Group,
        Item,
        Last,
        Memo,
        Outcome,
        Parameter,
        Part,
        Reference,
        Resources,
        Retry,
        RetryRule,
        RunInfo,
        Space,
        Step,
        SubWorkflow,
        Triggered,
        Until,
        When,
        Workflow,
        WorkflowError,
        approval,
        branch,
        choice,
        each,
        expr,
        for_each,
        grid,
        group,
        halving,
        integers,
        last,
        load_workflow,
        log_uniform,
        median,
        outcome,
        parallel,
        param,
        repeat,
        run_info,
        sample,
        sequence,
        signal,
        steps,
        sub_workflow,
        timer,
        uniform,
        until,
        when,
    )

__all__ = [
    "Bundle",
    "Draw",
    "Each",
    "Expr",
    "Gate",
    "Group",
    "Item",
    "Last",
    "Memo",
    "Outcome",
    "Parameter",
    "Part",
    "Reference",
    "Resources",
    "Retry",
    "RetryRule",
    "RunInfo",
    "Space",
    "Step",
    "SubWorkflow",
    "Triggered",
    "Until",
    "When",
    "Workflow",
    "WorkflowError",
    "approval",
    "branch",
    "choice",
    "each",
    "expr",
    "for_each",
    "grid",
    "group",
    "halving",
    "integers",
    "last",
    "load_workflow",
    "log_uniform",
    "median",
    "outcome",
    "parallel",
    "param",
    "repeat",
    "run_info",
    "sample",
    "sequence",
    "signal",
    "steps",
    "sub_workflow",
    "timer",
    "uniform",
    "until",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kaon' has no attribute {name!r}")
    return getattr(import_module("kaon.dsl"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
