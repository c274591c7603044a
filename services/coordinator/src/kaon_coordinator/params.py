"""Parameters of a submission: checked against the workflow's declarations, completed with its defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kaon_artifacts import ArtifactError, checked_name
from kaon_coordinator import expressions
from kaon_coordinator.computed_params import Computer, computed_names
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state.run_info import run_info
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaon_wire.texts import meant
from kaonapi.workflow.v1 import definition_pb2 as d

# Where no run is made, such as in the check of a schedule.
NO_RUN: Mapping[str, object] = run_info(
    run_id="", workflow="", version="", tenant="", submit_us=0, origin="", scheduled_us=0
)


def complete(
    definition: d.WorkflowDefinition,
    given: Mapping[str, str],
    limits: Limits = DEFAULT,
    *,
    run: Mapping[str, object] = NO_RUN,
) -> dict[str, str]:
    """Return the value of every parameter as canonical JSON; `run` is what computed defaults have of the run.

    Raises:
        InvalidRequest: Parameters are unknown, missing, malformed, of another type, not among the allowed
            values, or too large together; the error names each of them.
    """
    what = f"parameters of workflow {definition.name!r}"
    size = sum(len(name) + len(text) for name, text in given.items())
    if size > limits.params_bytes:
        text = f"they have {size} bytes; the limit params_bytes is {limits.params_bytes}: use an artifact"
        raise InvalidRequest(what, [Problem(field="params_json", text=text)])
    computed = computed_names(definition, given)
    plain = [each for each in definition.parameters if each.name not in computed]
    names = [each.name for each in definition.parameters]
    values = _complete(
        plain, given, names, _Words(what=what, noun="parameter", field="params_json")
    )
    computer = Computer(definition, values, run, limits.cel_cost)
    problems = []
    for parameter in definition.parameters:
        if parameter.name in computed:
            try:
                values[parameter.name] = _value(parameter, computer.value(parameter.name))
            except InvalidValue as error:
                text = f"the default of parameter {parameter.name!r}: {error}"
                problems.append(Problem(field=f"params_json[{parameter.name}]", text=text))
    if problems:
        raise InvalidRequest(what, problems)
    return values


def complete_fields(
    fields: Sequence[d.Parameter], given: Mapping[str, str], *, what: str, field: str
) -> dict[str, str]:
    """Return the value of every field of a gate as canonical JSON.

    Args:
        fields: What is declared.
        given: JSON by field.
        what: What errors call the whole.
        field: The field of the request that has the values.

    Raises:
        InvalidRequest: Values are unknown, missing, malformed or not allowed; the error names each of them.
    """
    names = [each.name for each in fields]
    return _complete(fields, given, names, _Words(what=what, noun="field", field=field))


@dataclass(frozen=True, kw_only=True)
class _Words:
    """What errors say."""

    what: str
    # What one declared value is.
    noun: str
    # The field of the request.
    field: str


def _complete(
    declared: Sequence[d.Parameter],
    given: Mapping[str, str],
    names: Sequence[str],
    words: _Words,
) -> dict[str, str]:
    values: dict[str, str] = {}
    problems = list(_unknown(names, given, words))
    for each in declared:
        try:
            values[each.name] = _value(each, given.get(each.name), words.noun)
        except InvalidValue as error:
            problems.append(Problem(field=f"{words.field}[{each.name}]", text=str(error)))
    if problems:
        raise InvalidRequest(words.what, problems)
    return values


def canonical_text(field: str, text: str) -> str:
    """Return a JSON text in its canonical form.

    Raises:
        InvalidValue: It is not JSON; the error names the field of the request.
    """
    try:
        return canonical.strict(text)
    except InvalidValue as error:
        raise InvalidValue(f"{field}: {error}") from error


def _value(parameter: d.Parameter, given: str | None, noun: str = "parameter") -> str:
    if given is None:
        if not parameter.HasField("default_json"):
            if parameter.optional:
                return "null"
            raise InvalidValue(f"{noun} {parameter.name!r} is missing: it has no default")
        return _as_declared(parameter, canonical.loads(parameter.default_json))
    try:
        value = canonical.loads(canonical.strict(given))
    except InvalidValue as error:
        raise InvalidValue(f"{noun} {parameter.name!r} is {error}") from error
    _check_type(parameter, value, noun)
    text = _as_declared(parameter, value)
    if parameter.choices_json or parameter.constraint_cel:
        # As it is kept: a whole number where a float is declared is one.
        _check_choice(parameter, canonical.loads(text), text, noun)
    return text


def _as_declared(parameter: d.Parameter, value: Any) -> str:
    return canonical.dumps(value_types.declared(value, parameter))


def _check_type(parameter: d.Parameter, value: Any, noun: str) -> None:
    if problem := value_types.fault(value, parameter):
        raise InvalidValue(f"{noun} {parameter.name!r} {problem}")
    if value is not None and value_types.is_artifact(parameter.type):
        _check_name(parameter, value, noun)


def _check_name(parameter: d.Parameter, value: Any, noun: str) -> None:
    try:
        checked_name(value["artifact"].get("name", ""))
    except ArtifactError as error:
        raise InvalidValue(
            f"{noun} {parameter.name!r} is an artifact whose name {error}"
        ) from error


def _check_choice(parameter: d.Parameter, value: Any, text: str, noun: str) -> None:
    if problem := value_types.choice_fault(value, parameter):
        raise InvalidValue(f"{noun} {parameter.name!r} {problem}")
    if not parameter.constraint_cel or (value is None and parameter.optional):
        return
    native = value_types.native(value, parameter)
    try:
        holds = expressions.evaluate(parameter.constraint_cel, {"value": native})
    except expressions.ExpressionError as error:
        raise InvalidValue(f"{noun} {parameter.name!r}: {error}") from error
    if holds is not True:
        problem = f"{value_types.shown(text)} does not fulfil {parameter.constraint_cel!r}"
        raise InvalidValue(f"{noun} {parameter.name!r}: {problem}")


def _unknown(names: Sequence[str], given: Mapping[str, str], words: _Words) -> Iterator[Problem]:
    for name in sorted(set(given) - set(names)):
        hint = "there are none" if words.noun == "field" else "the workflow has none"
        if names:
            hint = meant(name, names, most=1) or f"there are {', '.join(sorted(names))}"
        yield Problem(
            field=f"{words.field}[{name}]", text=f"there is no {words.noun} {name!r}: {hint}"
        )
