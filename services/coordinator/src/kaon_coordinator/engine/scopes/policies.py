"""Policies of a node that are known only when it begins: bound as inputs are, checked, and recorded."""

from __future__ import annotations

from collections.abc import Mapping

from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import Node, StepState
from kaon_wire import canonical
from kaon_wire.definitions.policies import applied, converted
from kaon_wire.errors import KaonError
from kaon_wire.packing import fill
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def bind(decision: Decision, node: Node) -> step_pb2.StepError | None:
    """Give a node that is about to begin its policies, unless it has the same ones; return why it cannot begin."""
    if node.block.name not in node.scope.graph.bound:
        return None
    try:
        texts = _resolved(decision, node)
    except KaonError as error:
        return user_error("BindingError", f"{node.path}: {error}")
    try:
        kind = "step" if isinstance(node, StepState) else node.kind
        values = _converted(decision, kind, texts)
    except KaonError as error:
        return user_error("PolicyInvalid", f"{node.path}: {error}")
    if problem := _refusal(decision, node, values):
        return user_error("PolicyInvalid", f"{node.path}: {problem}")
    if values != node.bound:
        event = history_pb2.PoliciesBound(path=node.path)
        fill(event.values_json, values)
        decision.emit(policies_bound=event)
    return None


def bind_run(decision: Decision) -> step_pb2.StepError | None:
    """Give a run that begins the workflow's own policies; return why it cannot begin."""
    state, context = decision.state, decision.context
    bound = sorted(state.workflow.definition.bound.items())
    if not bound:
        return None
    context.meter.begin_node()
    try:
        texts = {field: resolve(state, state.root, each, context.evaluate) for field, each in bound}
    except KaonError as error:
        return user_error("BindingError", f"the workflow: {error}")
    try:
        values = _converted(decision, "workflow", texts)
    except KaonError as error:
        return user_error("PolicyInvalid", f"the workflow: {error}")
    if values != state.bound:
        event = history_pb2.PoliciesBound()
        fill(event.values_json, values)
        decision.emit(policies_bound=event)
    return None


def _resolved(decision: Decision, node: Node) -> Mapping[str, str]:
    evaluate = decision.context.evaluate
    return {
        field: resolve(decision.state, node.scope, binding, evaluate)
        for field, binding in node.scope.graph.bound[node.block.name]
    }


def _converted(decision: Decision, kind: str, texts: Mapping[str, str]) -> dict[str, str]:
    limits = decision.context.limits
    return {
        field: canonical.dumps(converted(kind, field, canonical.loads(text), limits))
        for field, text in texts.items()
    }


def _refusal(decision: Decision, node: Node, values: Mapping[str, str]) -> str:
    """Return why the deployment does not let the tenant have a step with these policies."""
    if not isinstance(node, StepState):
        return ""
    step = applied(node.scope.graph.blocks[node.block.name], values).step
    if "step.priority" not in values:
        # Bounded at the submission, by what the submitter may do.
        step.priority = 0
    state = decision.state
    return decision.context.refusal(state.tenant, state.priority, step)
