"""The language in which workflows are written. Import its words from `kaon`."""

from kaon.dsl import steps
from kaon.dsl.blocks import Each, Part, Step, Until, When
from kaon.dsl.bundle import Bundle
from kaon.dsl.errors import WorkflowError
from kaon.dsl.loading import load_workflow
from kaon.dsl.policies import Resources, Retry
from kaon.dsl.values import Expr, Item, Last, Parameter, Reference, expr, last, param
from kaon.dsl.verbs import branch, each, for_each, parallel, repeat, sequence, until, when
from kaon.dsl.workflow import Workflow

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
