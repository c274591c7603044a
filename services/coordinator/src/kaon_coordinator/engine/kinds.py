"""The table of the kinds of nodes: what starts, stops and ends them."""

from __future__ import annotations

from kaon_coordinator.engine import branch, foreach, gates, group, preparing, repeat, steps, subworkflows
from kaon_coordinator.engine.decision import Kinds, StepKind

KINDS = Kinds(
    step=StepKind(start=preparing.begin, stop=steps.stop, end=steps.end),
    blocks={
        "for_each": foreach.KIND,
        "repeat": repeat.KIND,
        "branch": branch.KIND,
        "group": group.KIND,
        "sub_workflow": subworkflows.KIND,
        "gate": gates.KIND,
    },
)
