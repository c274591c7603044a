"""Defaults of parameters that are computed when a run is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaon.dsl import types
from kaon.dsl.bindings import Binder, Use
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon.dsl.values import Expr, Parameter, RunInfo, Value
from kaon_wire import value_types
from kaon_wire.definitions import kinds, passing, policies
from kaon_wire.definitions.parameters import circle_of
from kaonapi.workflow.v1 import definition_pb2 as d


def computed_defaults(binder: Binder) -> dict[str, d.Binding]:
    """Bind the computed defaults of all parameters; those that they use are found on the way.

    Raises:
        WorkflowError: one uses what is not known at submission, is of another type, or depends on itself.
    """
    bound: dict[str, d.Binding] = {}
    while missing := [each for each in _computed(binder) if each.name not in bound]:
        for parameter in missing:
            bound[parameter.name] = _bind(binder, parameter)
    if circle := circle_of(bound):
        source = next(each.source for each in _computed(binder) if each.name == circle[0])
        raise WorkflowError(
            f"the default of parameter {circle[0]!r} depends on itself: {' -> '.join(circle)}",
            source,
        )
    return bound


def _computed(binder: Binder) -> list[Parameter]:
    parameters = {**binder.found, **binder.declared}
    return [each for each in parameters.values() if each.computed is not None]


def run_policies(binder: Binder, given: Mapping[str, Any], source: Source) -> dict[str, d.Binding]:
    """Bind the workflow's own policies, by field, that are known only when a run begins.

    Raises:
        WorkflowError: one uses what is not known then, or is of a type that the policy does not take.
    """
    bound: dict[str, d.Binding] = {}
    for field, value in given.items():
        policy = policies.policy("workflow", field)
        assert policy is not None, field
        use = Use(what=f"{policy.name} of the workflow", source=source, place=None)
        _check_known(value, use)
        bound[field], kind = binder.bind(value, use)
        if kinds.KINDS[kind] not in {*policy.kinds, kinds.ANY}:
            raise use.error(f"is a value of type {types.name_of(kind)}; it must be {policy.takes}")
    return bound


def _check_known(value: object, use: Use) -> None:
    if wrong := [each for each in _parts(value) if not isinstance(each, _KNOWN)]:
        raise use.error(
            f"uses {wrong[0]!r}; it may use other parameters, run_info() and expressions of these"
        )


def _bind(binder: Binder, parameter: Parameter) -> d.Binding:
    use = Use(
        what=f"parameter {parameter.name!r}: its default", source=parameter.source, place=None
    )
    _check_known(parameter.computed, use)
    binding, kind = binder.bind(parameter.computed, use)
    if not passing.fits(kind, parameter.shape.type):
        raise use.error(
            f"is of type {types.name_of(kind)}; it must be of type {value_types.name_of(parameter.shape)}"
        )
    return binding


# Values that are known when a run is submitted; what else may stand in an expression is JSON.
_KNOWN = (Parameter, Expr, RunInfo)


def _parts(value: object) -> Iterator[object]:
    """Yield the values from which another one is computed, itself included."""
    if isinstance(value, Value):
        yield value
    inner: Iterable[object] = ()
    if isinstance(value, Expr):
        inner = value.variables.values()
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    for each in inner:
        yield from _parts(each)
