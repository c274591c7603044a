"""The parameters of a run, checked against the definition before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from kaon.dsl import constraints, types
from kaon.step.artifact import Artifact
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

_TEXTS = (d.VALUE_TYPE_STRING, d.VALUE_TYPE_DATE)


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
        if complete and not parameter.HasField("default_json") and parameter.name not in params:
            raise InvalidValue(
                f"workflow {definition.name!r} needs parameter {parameter.name!r} ({types.name_of(parameter.type)})"
            )
    return {name: _encode(declared[name], value) for name, value in params.items()}


def parse(definition: d.WorkflowDefinition, written: Mapping[str, str]) -> dict[str, Any]:
    """Values from the texts of a command line: JSON, or plain text where the parameter is a string or the text is no JSON.

    Where the parameter is an artifact, "@PATH" is the `Path` of a file or directory, to be stored.

    Raises:
        InvalidValue: there is no such file or directory.
    """
    kinds = {parameter.name: parameter.type for parameter in definition.parameters}
    return {name: _parse(kinds.get(name, d.VALUE_TYPE_ANY), text) for name, text in written.items()}


def _encode(parameter: d.Parameter, value: Any) -> str:
    if isinstance(value, Artifact):
        value = {"artifact": value.to_reference()}
    text = canonical.dumps(value.isoformat() if type(value) is date else value)
    value = canonical.loads(text)
    if not types.fits(value, parameter.type):
        raise InvalidValue(
            f"parameter {parameter.name!r} must be of type {types.name_of(parameter.type)}, not {text}"
        )
    text = canonical.dumps(float(value)) if parameter.type == d.VALUE_TYPE_FLOAT else text
    problem = constraints.problem(
        parameter.name, text, choices_json=parameter.choices_json, check=parameter.constraint_cel
    )
    if problem is not None:
        raise InvalidValue(problem)
    return text


def _parse(kind: d.ValueType.ValueType, text: str) -> Any:
    if text.startswith("@") and types.is_artifact(kind):
        path = Path(text[1:]).expanduser()
        if not path.exists():
            raise InvalidValue(f"{text}: there is no file or directory {path}")
        return path
    try:
        value = canonical.loads(text)
    except InvalidValue:
        return text
    return text if kind in _TEXTS and not isinstance(value, str) else value
