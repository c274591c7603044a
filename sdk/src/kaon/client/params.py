"""The parameters of a run, checked against the definition before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaon.dsl import constraints, types
from kaon.step.artifact import Artifact
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d


def encode(
    definition: d.WorkflowDefinition, params: Mapping[str, Any], *, complete: bool = True
) -> dict[str, str]:
    """Canonical JSON by name.

    Args:
        definition: declares the parameters.
        params: values by name.
        complete: those without a default must be there; False for changes of what is set already.

    Raises:
        InvalidValue: a parameter is unknown, missing, of another type or not allowed; the message names it.
    """
    declared = {parameter.name: parameter for parameter in definition.parameters}
    for name in params:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise InvalidValue(
                f"workflow {definition.name!r} has no parameter {name!r}; it has: {known}"
            )
    for parameter in declared.values():
        if complete and value_types.is_required(parameter) and parameter.name not in params:
            raise InvalidValue(
                f"workflow {definition.name!r} needs parameter {parameter.name!r} ({value_types.name_of(parameter)})"
            )
    return {name: _encode(declared[name], value) for name, value in params.items()}


def parse(definition: d.WorkflowDefinition, written: Mapping[str, str]) -> dict[str, Any]:
    """Values from the texts of a command line: JSON, or plain text where the parameter is a string or the text is no JSON.

    Where the parameter is a list of texts, dates, times or durations, "a,b" is a list of two.

    Where the parameter is an artifact, "@PATH" is the `Path` of a file or directory, to be stored.

    Raises:
        InvalidValue: there is no such file or directory.
    """
    declared = {parameter.name: parameter for parameter in definition.parameters}
    return {name: _parse(declared.get(name), text) for name, text in written.items()}


def _encode(parameter: d.Parameter, value: Any) -> str:
    if isinstance(value, Artifact):
        value = {"artifact": value.to_reference()}
    value = canonical.loads(canonical.dumps(types.as_json(value)))
    problem = constraints.problem(parameter.name, value, parameter, parameter.constraint_cel)
    if problem is not None:
        raise InvalidValue(problem)
    return canonical.dumps(value_types.declared(value, parameter))


def _parse(parameter: d.Parameter | None, text: str) -> Any:
    if parameter is None:
        parameter = d.Parameter(type=d.VALUE_TYPE_ANY)
    if text.startswith("@") and types.is_artifact(parameter.type):
        path = Path(text[1:]).expanduser()
        if not path.exists():
            raise InvalidValue(f"{text}: there is no file or directory {path}")
        return path
    try:
        value = canonical.loads(text)
    except InvalidValue:
        return _listed(parameter, text)
    if value is None and parameter.optional:
        return None
    return text if parameter.type in value_types.TEXTS and not isinstance(value, str) else value


def _listed(parameter: d.Parameter, text: str) -> Any:
    """Return what a text means that is no JSON: "a,b" where a list of texts is declared, and itself elsewhere."""
    if parameter.type != d.VALUE_TYPE_LIST or parameter.of.type not in value_types.TEXTS:
        return text
    return [each.strip() for each in text.split(",")]
