"""Policies of a node that are known only when it begins: bound as inputs are, checked, and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import Node, ScopeState, StepState
from kaon_wire import canonical
from kaon_wire.definitions.policies import applied, converted
from kaon_wire.errors import KaonError
from kaon_wire.packing import fill
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def bind(decision: Decision, node: Node) -> step_pb2.StepError | None:
    """Give a node that is about to begin its policies, unless it has the same ones; return why it cannot begin."""
    bound = node.scope.graph.bound.get(node.block.name)
    if bound is None:
        return None
    binding = _Binding(
        path=node.path,
        what=node.path,
        kind="step" if isinstance(node, StepState) else node.kind,
        scope=node.scope,
        bound=bound,
        had=node.bound,
    )
    return _bind(decision, binding, lambda values: _refusal(decision, node, values))


def bind_run(decision: Decision) -> step_pb2.StepError | None:
    """Give a run that begins the workflow's own policies; return why it cannot begin."""
    state, context = decision.state, decision.context
    bound = sorted(state.workflow.definition.bound.items())
    if not bound:
        return None
    context.meter.begin_node()
    binding = _Binding(
        path="",
        what="the workflow",
        kind="workflow",
        scope=state.root,
        bound=bound,
        had=state.bound,
    )
    return _bind(decision, binding, lambda values: "")


@dataclass(frozen=True, kw_only=True)
class _Binding:
    """What is bound, and to what."""

    # Of the node in the run; empty for the run itself.
    path: str
    # Names it in errors.
    what: str
    # "step", "workflow" or the kind of a block.
    kind: str
    # Where bindings find what they name.
    scope: ScopeState
    # By the name of the policy.
    bound: Iterable[tuple[str, d.Binding]]
    # Canonical JSON of the policies that it has.
    had: Mapping[str, str]


def _bind(
    decision: Decision, binding: _Binding, refusal: Callable[[Mapping[str, str]], str]
) -> step_pb2.StepError | None:
    """Record policies that differ from those that are there; return why they cannot be bound."""
    evaluate = decision.context.evaluate
    try:
        texts = {
            field: resolve(decision.state, binding.scope, each, evaluate)
            for field, each in binding.bound
        }
    except KaonError as error:
        return user_error("BindingError", f"{binding.what}: {error}")
    try:
        values = _converted(decision, binding.kind, texts)
    except KaonError as error:
        return user_error("PolicyInvalid", f"{binding.what}: {error}")
    if problem := refusal(values):
        return user_error("PolicyInvalid", f"{binding.what}: {problem}")
    if values != binding.had:
        event = history_pb2.PoliciesBound(path=binding.path)
        fill(event.values_json, values)
        decision.emit(policies_bound=event)
    return None


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
