"""The language in which workflows are written. Import its words from `kaon`."""

from kaon.dsl import steps
from kaon.dsl.blocks import Each, Group, Part, Triggered, Until, When
from kaon.dsl.bundle import Bundle
from kaon.dsl.conditions import Condition
from kaon.dsl.datasets import Dataset, dataset
from kaon.dsl.errors import WorkflowError
from kaon.dsl.gates import approval, last_run, signal, sub_workflow, timer
from kaon.dsl.loading import load_workflow
from kaon.dsl.locks import Lock, mutex, semaphore
from kaon.dsl.notifying import Notification, notify
from kaon.dsl.policies import Memo, Resources, Retry, RetryRule
from kaon.dsl.producers import Gate, Step, SubWorkflow
from kaon.dsl.sidecars import Sidecar, sidecar
from kaon.dsl.sweeps import (
    Draw,
    Space,
    choice,
    grid,
    halving,
    integers,
    log_uniform,
    median,
    sample,
    uniform,
)
from kaon.dsl.values import (
    BlockOutcome,
    Expr,
    Item,
    Last,
    Outcome,
    Parameter,
    Reference,
    RunInfo,
    coalesce,
    expr,
    last,
    outcome,
    param,
    run_info,
)
from kaon.dsl.verbs import (
    branch,
    each,
    for_each,
    group,
    parallel,
    repeat,
    sequence,
    until,
    when,
    while_,
)
from kaon.dsl.workflow import Workflow

__all__ = [
    "BlockOutcome",
    "Bundle",
    "Condition",
    "Dataset",
    "Draw",
    "Each",
    "Expr",
    "Gate",
    "Group",
    "Item",
    "Last",
    "Lock",
    "Memo",
    "Notification",
    "Outcome",
    "Parameter",
    "Part",
    "Reference",
    "Resources",
    "Retry",
    "RetryRule",
    "RunInfo",
    "Sidecar",
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
    "coalesce",
    "dataset",
    "each",
    "expr",
    "for_each",
    "grid",
    "group",
    "halving",
    "integers",
    "last",
    "last_run",
    "load_workflow",
    "log_uniform",
    "median",
    "mutex",
    "notify",
    "outcome",
    "parallel",
    "param",
    "repeat",
    "run_info",
    "sample",
    "semaphore",
    "sequence",
    "sidecar",
    "signal",
    "steps",
    "sub_workflow",
    "timer",
    "uniform",
    "until",
    "when",
    "while_",
]
