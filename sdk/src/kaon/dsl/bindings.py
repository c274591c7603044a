"""Turns what users bind to steps into messages, and checks that each value is known where it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kaon.dsl import types, values
from kaon.dsl.blocks import ForEach, Part, Repeat
from kaon.dsl.errors import WorkflowError
from kaon.dsl.producers import Producer, Step
from kaon.dsl.scopes import BODY, Place, Scope
from kaon.dsl.source import Source
from kaon.dsl.values import (
    BlockOutcome,
    Expr,
    HasOutputs,
    Item,
    Last,
    Outcome,
    Parameter,
    Reference,
    RunInfo,
    Value,
)
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.program import program
from kaon_wire.definitions.kinds import ANY, KINDS
from kaonapi.workflow.v1 import definition_pb2 as d

_OUTCOMES = {
    "status": (d.OUTCOME_FIELD_STATUS, d.VALUE_TYPE_STRING),
    "exit_code": (d.OUTCOME_FIELD_EXIT_CODE, d.VALUE_TYPE_ANY),
    "attempts": (d.OUTCOME_FIELD_ATTEMPTS, d.VALUE_TYPE_INT),
    "error": (d.OUTCOME_FIELD_ERROR, d.VALUE_TYPE_ANY),
}
_OF_STEPS = frozenset({"exit_code", "attempts"})
# Of expressions whose kind is known.
_TIMES = {"timestamp": d.VALUE_TYPE_DATETIME, "duration": d.VALUE_TYPE_DURATION}


@dataclass(frozen=True, kw_only=True)
class Use:
    """Where a value is used."""

    # What is being bound, as errors call it: 'step "train": input "rows"'.
    what: str
    # The line to show when something is wrong.
    source: Source
    # The block that uses the value; for the condition of a repeat the repeat itself; None for an output of the workflow.
    place: Place | None
    # The condition of a repeat is evaluated inside of it, after everything else; so are the workflow's outputs.
    at_end: bool = False
    # That of a while is evaluated inside of it, before everything else.
    at_start: bool = False

    def around(self) -> list[Place]:
        """Return the blocks in which the value is used, outermost first."""
        chain = self.chain()
        return chain if self.at_end or self.at_start else chain[:-1]

    def chain(self) -> list[Place]:
        """Return the blocks around the use, outermost first, with the user itself last."""
        return [] if self.place is None else self.place.chain()

    def error(self, problem: str) -> WorkflowError:
        """Make an error that names the use."""
        return WorkflowError(f"{self.what} {problem}", self.source)


@dataclass(frozen=True, kw_only=True)
class Binder:
    """Binds values within one workflow."""

    # Everything that has outputs, by name.
    producers: Mapping[str, Place]
    declared: Mapping[str, Parameter]
    # All blocks.
    places: Sequence[Place] = ()
    # Parameters found on the way that carry their own declaration.
    found: dict[str, Parameter] = field(default_factory=dict)

    def bind(self, value: Any, use: Use) -> tuple[d.Binding, d.ValueType.ValueType]:
        """Return the message for a value, and the type of the value as far as it is known (else ANY).

        Raises:
            WorkflowError: the value is not JSON, or not known where it is used.
        """
        match value:
            case Reference():
                return self._reference(value, use)
            case Parameter():
                return self._parameter(value, use)
            case Item():
                self._check_item(value, use)
                return d.Binding(item=value.name), d.VALUE_TYPE_ANY
            case Last():
                return self._last(value, use)
            case Outcome():
                if not any(place.phase != BODY for place in use.chain()):
                    raise use.error(
                        "uses outcome(), which is known only in finally_ and on_failure"
                    )
                return d.Binding(outcome=d.Outcome()), d.VALUE_TYPE_MAP
            case BlockOutcome():
                return self._block_outcome(value, use)
            case RunInfo():
                return d.Binding(run_info=d.RunInfo()), d.VALUE_TYPE_MAP
            case Expr():
                return self._expression(value, use)
            case list() | tuple() | dict() if _holds_values(value):
                return self._joined(value, use)
            case Part():
                raise use.error("is a step or a block; name the output of a step")
        return d.Binding(literal_json=values.literal(value, use.what, use.source)), types.type_of(
            value
        )

    def _reference(self, value: Reference, use: Use) -> tuple[d.Binding, d.ValueType.ValueType]:
        wanted = self._place(value.step, value.written, use)
        kind = value.type if not _joined(_rest(wanted, use, value)) else d.VALUE_TYPE_LIST
        return d.Binding(output=d.OutputReference(step=wanted.name, output=value.output)), kind

    def _block_outcome(
        self, value: BlockOutcome, use: Use
    ) -> tuple[d.Binding, d.ValueType.ValueType]:
        wanted = next((place for place in self.places if place.block is value.block), None)
        if wanted is None:
            raise use.error(f"refers to {value.written}, but that is not part of the workflow")
        if wanted in use.chain():
            raise use.error(f"refers to {value.written}, which has not ended there")
        field, kind = _OUTCOMES[value.field]
        if value.field in _OF_STEPS and not isinstance(wanted.block, Step):
            raise use.error(f"refers to {value.written}; only steps have exit codes and attempts")
        if _joined(_rest(wanted, use, value)[:-1]):
            kind = d.VALUE_TYPE_LIST
        outcome = d.BlockOutcome(block=wanted.name, field=field)
        return d.Binding(block_outcome=outcome), kind

    def _place(self, step: HasOutputs, written: str, use: Use) -> Place:
        place = self.producers.get(step.name)
        if place is None or not isinstance(place.block, Producer) or place.block is not step:
            raise use.error(
                f"refers to {written}, but that {step.noun} is not part of the workflow"
            )
        return place

    def _parameter(self, value: Parameter, use: Use) -> tuple[d.Binding, d.ValueType.ValueType]:
        declared = self.declared.get(value.name, self.found.get(value.name))
        if declared is None:
            if value.type is None:
                known = ", ".join(sorted(self.declared)) or "none"
                raise use.error(
                    f"uses parameter {value.name!r}, which the workflow does not declare; declared: {known}"
                )
            declared = self.found[value.name] = value
        check_same_parameter(declared, value)
        assert declared.type is not None
        return d.Binding(parameter=value.name), declared.type

    def _check_item(self, value: Item, use: Use) -> None:
        loops = [place.block for place in use.around() if isinstance(place.block, ForEach)]
        if not any(loop.each is value for loop in loops):
            raise use.error(f"uses {value.written}, but does not stand in the foreach over it")

    def _last(self, value: Last, use: Use) -> tuple[d.Binding, d.ValueType.ValueType]:
        repeats = [place for place in use.around() if isinstance(place.block, Repeat)]
        if not repeats:
            raise use.error(
                f"uses {value.written} outside of every repeat; only there is a previous iteration"
            )
        wanted, output = self._last_output(value, use)
        chain = wanted.chain()
        if repeats[-1] not in chain:
            raise use.error(
                f"uses {value.written}, but {wanted.block.label} does not stand in {repeats[-1].block.label}, "
                "the innermost repeat around it"
            )
        inner = chain[chain.index(repeats[-1]) + 1 :]
        fallback, _ = self.bind(value.fallback, use)
        assert isinstance(wanted.block, Producer)
        kind = d.VALUE_TYPE_LIST if _joined(inner) else wanted.block.outputs[output]
        reference = d.OutputReference(step=wanted.name, output=output)
        return d.Binding(last=d.LastReference(output=reference, fallback=fallback)), kind

    def _last_output(self, value: Last, use: Use) -> tuple[Place, str]:
        if isinstance(value.output, Reference):
            return self._place(value.output.step, value.written, use), value.output.output
        name, output = value.output
        place = self.producers.get(name)
        if place is None:
            raise use.error(f"uses {value.written}, but the workflow has no step {name!r}")
        assert isinstance(place.block, Producer)
        if output not in place.block.outputs:
            known = ", ".join(place.block.outputs) or "none"
            raise use.error(
                f"uses {value.written}, but {place.block.label} has no output {output!r}; it declares {known}"
            )
        return place, output

    def _expression(self, value: Expr, use: Use) -> tuple[d.Binding, d.ValueType.ValueType]:
        bound = {name: self.bind(variable, use) for name, variable in value.variables.items()}
        kinds = {
            name: ANY if self._may_be_null(value.variables[name]) else KINDS[kind]
            for name, (_, kind) in bound.items()
        }
        variables = {name: binding for name, (binding, _) in bound.items()}
        binding = d.Binding(expression=d.Expression(cel=value.cel, variables=variables))
        try:
            return binding, _TIMES.get(program(value.cel).kind(kinds), d.VALUE_TYPE_ANY)
        except CelError as error:
            raise use.error(f"comes from {value.written}: {error}") from None

    def _may_be_null(self, value: object) -> bool:
        if not isinstance(value, Parameter):
            return False
        return self.declared.get(value.name, self.found.get(value.name, value)).optional

    def _joined(
        self, value: list[Any] | tuple[Any, ...] | dict[Any, Any], use: Use
    ) -> tuple[d.Binding, d.ValueType.ValueType]:
        if not isinstance(value, dict):
            elements = [self.bind(element, use)[0] for element in value]
            return d.Binding(list=d.BindingList(bindings=elements)), d.VALUE_TYPE_LIST
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise use.error(f"is a dict with the key {wrong[0]!r}; keys are text")
        bindings = {key: self.bind(element, use)[0] for key, element in value.items()}
        return d.Binding(map=d.BindingMap(bindings=bindings)), d.VALUE_TYPE_MAP


def check_same_parameter(declared: Parameter, other: Parameter) -> None:
    """Check that a parameter is declared in one way only.

    Raises:
        WorkflowError: it is declared in two ways.
    """
    if other is declared or other.type is None:
        return
    if _declaration(declared) != _declaration(other):
        raise WorkflowError(
            f"parameter {other.name!r} is declared otherwise at {declared.source}", other.source
        )


def _declaration(parameter: Parameter) -> tuple[object, ...]:
    return (
        parameter.default_json,
        # By its identity: two computed defaults are compared by nothing else.
        id(parameter.computed),
        parameter.description,
        parameter.check,
        parameter.shape.SerializeToString(deterministic=True),
    )


def _rest(wanted: Place, use: Use, value: Reference | BlockOutcome) -> list[Place]:
    """Return the places where the way to the wanted step leaves the way to the use; check that the step comes before."""
    theirs, ours = wanted.chain(), use.chain()
    for depth, (there, here) in enumerate(zip(theirs, ours, strict=False)):
        if there.scope is not here.scope:
            raise use.error(
                f"refers to {value.written}, which belongs to another case of {theirs[depth - 1].block.label}"
            )
        if there is not here:
            _check_before(there.scope, there, here, use, value)
            _check_no_hook(theirs[depth + 1 :], use, value)
            return theirs[depth:]
    if wanted is use.place:
        raise use.error(f"refers to {value.written}, its own output; in a repeat use last(...)")
    if not use.at_end:
        hint = "; last(...) gives the previous iteration's value" if use.at_start else ""
        raise use.error(f"refers to {value.written}, which lies inside of it{hint}")
    _check_no_hook(theirs[len(ours) :], use, value)
    return theirs[len(ours) :]


def _check_no_hook(inner: list[Place], use: Use, value: Reference | BlockOutcome) -> None:
    for place in inner:
        if place.phase != BODY:
            raise use.error(
                f"refers to {value.written}, but {place.block.label} is a hook; its outputs are known to later hooks alone"
            )


def _check_before(
    scope: Scope, there: Place, here: Place, use: Use, value: Reference | BlockOutcome
) -> None:
    if scope.precedes(there.block, here.block):
        return
    if there.phase > here.phase:
        hint = f"belongs to {there.block.label}, a hook that runs later"
    elif scope.precedes(here.block, there.block):
        hint = "comes after it; in a repeat, last(...) gives the previous iteration's value"
    else:
        hint = f"need not have ended before: write {there.name} >> {here.name}"
    raise use.error(f"refers to {value.written}, which {hint}")


def _joined(places: list[Place]) -> bool:
    """Whether a foreach lies on the way inwards, so that the value is a list of its cells' values."""
    return any(isinstance(place.block, ForEach) for place in places)


def _holds_values(value: object) -> bool:
    if isinstance(value, Value | Part):
        return True
    if isinstance(value, dict):
        return any(_holds_values(element) for element in value.values())
    return isinstance(value, list | tuple) and any(_holds_values(element) for element in value)
