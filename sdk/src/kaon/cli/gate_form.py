"""The fields of a gate: given by -p, or asked for where somebody sits at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from kaon.cli import options
from kaon.client import params as parameters
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d


def filled(fields: Sequence[d.Parameter], written: list[str] | None) -> dict[str, Any]:
    """Return the values of a gate's fields by name.

    Args:
        fields: what the gate declares.
        written: NAME=JSON texts.

    Raises:
        InvalidValue: a value is missing, unknown or not allowed.
    """
    form = d.WorkflowDefinition(name="this gate", parameters=fields)
    texts = options.split_named(written, "-p")
    if sys.stdin.isatty():
        for each in fields:
            if each.name not in texts:
                texts[each.name] = _asked(form, each)
    values = parameters.parse(form, texts)
    encoded = _encoded(form, values)
    return {name: canonical.loads(text) for name, text in encoded.items()}


def _encoded(form: d.WorkflowDefinition, values: dict[str, Any]) -> dict[str, str]:
    declared = {each.name for each in form.parameters}
    if unknown := sorted(set(values) - declared):
        known = ", ".join(sorted(declared)) or "none"
        raise InvalidValue(f"the gate has no field {unknown[0]!r}; it has: {known}")
    for each in form.parameters:
        if value_types.is_required(each) and each.name not in values:
            raise InvalidValue(
                f"the gate needs field {each.name!r} ({value_types.name_of(each)}): give it by -p {each.name}=..."
            )
    return parameters.encode(form, values)


def _asked(form: d.WorkflowDefinition, field: d.Parameter) -> str:
    """Ask for one field until the answer is allowed."""
    about = f" ({field.description})" if field.description else ""
    if field.choices_json:
        about += f" [{', '.join(_plain(each) for each in field.choices_json)}]"
    has_default = field.HasField("default_json") or field.optional
    while True:
        answer: str = typer.prompt(
            f"{field.name}: {value_types.name_of(field)}{about}",
            default=_plain(field.default_json or "null") if has_default else None,
        )
        try:
            parameters.encode(form, parameters.parse(form, {field.name: answer}), complete=False)
        except InvalidValue as error:
            typer.echo(str(error), err=True)
        else:
            return answer


def _plain(text: str) -> str:
    value = canonical.loads(text)
    return value if isinstance(value, str) else text
