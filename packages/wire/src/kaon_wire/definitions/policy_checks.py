"""Checks of policies that are known only at run time: those of blocks, and those of a whole workflow."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_wire.definitions import policies
from kaon_wire.definitions.bindings import binding_problems
from kaon_wire.definitions.kinds import ANY, kind_of
from kaon_wire.definitions.parameters import is_computable
from kaon_wire.definitions.places import Checks, Place
from kaonapi.workflow.v1 import definition_pb2 as d

_BESIDE = "has a value, and another one that is known only at run time"


def bound_problems(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    """Yield the problems of the policies of a block that are known only when it begins."""
    kind = block.WhichOneof("kind") or ""
    for field, binding in sorted(block.bound.items()):
        policy = policies.policy(kind, field)
        if policy is None or not policies.has_place(block, field):
            yield f"{block.name}: {_no_policy(field)}"
            continue
        what = f"{block.name}: {policy.name}"
        if policies.is_set(block, field):
            yield f"{what} {_BESIDE}"
        yield from _binding_problems(policy, binding, place.outside, what, checks)


def workflow_problems(definition: d.WorkflowDefinition, checks: Checks) -> Iterator[str]:
    """Yield the problems of the workflow's own policies that are known only when a run begins."""
    for field, binding in sorted(definition.bound.items()):
        policy = policies.policy("workflow", field)
        if policy is None:
            yield f"workflow: {_no_policy(field)}"
            continue
        what = f"workflow: {policy.name}"
        if getattr(definition, field):
            yield f"{what} {_BESIDE}"
        if not is_computable(binding):
            yield f"{what} may use parameters, run_info() and expressions of these"
        place = Place(chain=(), hook=False)
        yield from _binding_problems(policy, binding, place, what, checks)


def _no_policy(field: str) -> str:
    return f"{field[:80]!r} is no policy that may be known only at run time"


def _binding_problems(
    policy: policies.Policy, binding: d.Binding, place: Place, what: str, checks: Checks
) -> Iterator[str]:
    yield from binding_problems(binding, place, what, checks)
    given = kind_of(binding, place, checks)
    if given not in policy.kinds and given != ANY:
        yield f"{what} is a value of the kind {given}; it must be {policy.takes}"
