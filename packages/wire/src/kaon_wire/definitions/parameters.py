"""Parameters and outputs of a workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kaon_wire import canonical
from kaon_wire.cel.program import problem
from kaon_wire.definitions.bindings import binding_problems
from kaon_wire.definitions.kinds import kind_of, kind_of_parameter
from kaon_wire.definitions.names import value_names
from kaon_wire.definitions.places import Checks, Place, json_problem
from kaon_wire.errors import InvalidValue
from kaon_wire.value_types import Shaped, fault, has_natives, is_artifact, name_of, shape_of
from kaonapi.workflow.v1 import definition_pb2 as d

# Where computed defaults may come from.
COMPUTABLE = frozenset({"literal_json", "parameter", "run_info", "list", "map", "expression"})


def parameter_problems(definition: d.WorkflowDefinition, checks: Checks) -> Iterator[str]:
    """Yield the problems of the declared parameters, and of the workflow's own numbers."""
    yield from declaration_problems(definition.parameters, checks, "parameter")
    for parameter in definition.parameters:
        what = f"parameter {parameter.name}"
        if parameter.HasField("computed"):
            yield from _computed_problems(what, parameter, definition, checks)
    if circle := circle_of({each.name: each.computed for each in definition.parameters}):
        yield f"parameter {circle[0]}: its default depends on itself: {' -> '.join(circle)}"
    if min(definition.timeout_ms, definition.deadline_ms, definition.max_active_runs) < 0:
        yield "workflow: timeout, deadline and max_active_runs must not be negative"
    if definition.strategy > d.SUBMIT_STRATEGY_PARALLEL and definition.max_active_runs:
        yield "workflow: max_active_runs belongs to the strategy parallel; by all others one run is active at once"


def declaration_problems(
    parameters: Sequence[d.Parameter], checks: Checks, noun: str
) -> Iterator[str]:
    """Yield the problems of declared values; `noun` is what errors call one."""
    seen: set[str] = set()
    yield from value_names(noun, (parameter.name for parameter in parameters))
    for parameter in parameters:
        what = f"{noun} {parameter.name}"
        if parameter.name in seen:
            yield f"{what}: declared twice"
        seen.add(parameter.name)
        if parameter.HasField("default_json"):
            yield from json_problem(f"{what}: default", parameter.default_json)
        for choice in parameter.choices_json:
            yield from json_problem(f"{what}: choice", choice)
        yield from shape_problems(what, parameter)
        yield from _default_problems(what, parameter)
        if parameter.constraint_cel:
            kinds = {"value": kind_of_parameter(parameter)}
            if fault := problem(parameter.constraint_cel, kinds):
                yield f"{what}: {fault}"


def _computed_problems(
    what: str, parameter: d.Parameter, definition: d.WorkflowDefinition, checks: Checks
) -> Iterator[str]:
    place = Place(chain=(), hook=False)
    yield from binding_problems(parameter.computed, place, f"{what}: default", checks)
    if parameter.HasField("default_json"):
        yield f"{what}: it has a default and a computed one"
    if is_artifact(parameter.type):
        yield f"{what}: an artifact has no default"
    if not is_computable(parameter.computed):
        yield f"{what}: its default may use other parameters, run_info() and expressions of these"
    kind, wanted = kind_of(parameter.computed, place, checks), kind_of_parameter(parameter)
    # A text may be the text of a time, and an integer a float.
    if kind not in (wanted, "string", "int", "any", "null") and wanted != "any":
        yield f"{what}: its default is {kind}, and it is of type {name_of(parameter)}"


def is_computable(binding: d.Binding) -> bool:
    """Tell whether a value is known before anything has run."""
    return all(each.WhichOneof("source") in COMPUTABLE for each in inside(binding))


def inside(binding: d.Binding) -> Iterator[d.Binding]:
    """Yield a binding and all that it is computed from."""
    yield binding
    for part in (
        *binding.list.bindings,
        *binding.map.bindings.values(),
        *binding.expression.variables.values(),
    ):
        yield from inside(part)


def circle_of(computed: Mapping[str, d.Binding]) -> list[str]:
    """Return parameters each of whose default uses the next one, back to the first; empty when there is no circle."""
    used = {
        name: [each.parameter for each in inside(binding) if each.parameter in computed]
        for name, binding in computed.items()
    }
    done: set[str] = set()
    for name in sorted(used):
        # Each entry: a parameter, and what it uses that was not looked at.
        way = [(name, iter(used[name]))]
        while way:
            following = next(way[-1][1], None)
            names = [each for each, _ in way]
            if following in names:
                return [*names[names.index(following) :], following]
            if following is None:
                done.add(way.pop()[0])
            elif following not in done:
                way.append((following, iter(used[following])))
    return []


def _default_problems(what: str, parameter: d.Parameter) -> Iterator[str]:
    """Yield why the default or a choice of a parameter with a time, or with a type inside, is not of that type."""
    if not has_natives(parameter) and not parameter.of.type:
        return
    plain = shape_of(parameter)
    del plain.choices_json[:]
    defaults = [parameter.default_json] if parameter.HasField("default_json") else []
    for word, text in [("default", each) for each in defaults] + [
        ("choice", each) for each in parameter.choices_json
    ]:
        try:
            problem = fault(canonical.loads(text), plain)
        except InvalidValue:
            continue  # the check of JSON has told it
        if problem:
            yield f"{what}: {word} {problem}"


def shape_problems(what: str, shape: Shaped) -> Iterator[str]:
    """Yield what is wrong with what stands inside of a list or map."""
    if not shape.of.ByteSize():
        return
    if shape.type not in (d.VALUE_TYPE_LIST, d.VALUE_TYPE_MAP):
        yield f"{what}: only lists and maps have values inside, and it is of type {name_of(shape)}"
    elif shape.of.type == d.VALUE_TYPE_UNSPECIFIED:
        yield f"{what}: what stands inside of it has no type"
    for choice in shape.of.choices_json:
        yield from json_problem(f"{what}: choice", choice)
    yield from shape_problems(what, shape.of)


def output_problems(definition: d.WorkflowDefinition, checks: Checks) -> Iterator[str]:
    """Yield the problems of the workflow's outputs."""
    yield from value_names("output of the workflow", definition.outputs)
    for name, output in sorted(definition.outputs.items()):
        what = f"output {name!r} of the workflow"
        if output.type == d.VALUE_TYPE_UNSPECIFIED:
            yield f"{what} has no type"
        yield from binding_problems(output.value, Place(chain=(), hook=False), what, checks)
