"""The table of the kinds of nodes: the functions that start, stop and end them."""

from __future__ import annotations

from kaon_coordinator.engine.decision import Kinds, StepKind
from kaon_coordinator.engine.kinds import branch, foreach, gates, group, repeat, subworkflows
from kaon_coordinator.engine.steps import attempts, preparing, serving

KINDS = Kinds(
    step=StepKind(
        start=preparing.begin, stop=attempts.stop, dismiss=serving.dismiss, end=attempts.end
    ),
    blocks={
        "for_each": foreach.KIND,
        "repeat": repeat.KIND,
        "branch": branch.KIND,
        "group": group.KIND,
        "sub_workflow": subworkflows.KIND,
        "gate": gates.KIND,
    },
)
