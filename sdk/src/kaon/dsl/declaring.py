"""Declarations of parameters, and of the fields of gates, as messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kaon.dsl.values import Parameter
from kaonapi.workflow.v1 import definition_pb2 as d


def parameter_messages(
    parameters: Iterable[Parameter], computed: Mapping[str, d.Binding]
) -> list[d.Parameter]:
    """Convert the declarations to messages, sorted by name."""
    messages = []
    for parameter in sorted(parameters, key=lambda each: each.name):
        assert parameter.type is not None
        message = d.Parameter(
            name=parameter.name,
            type=parameter.type,
            description=parameter.description,
            constraint_cel=parameter.check,
            choices_json=parameter.choices_json,
            of=parameter.of,
            optional=parameter.optional,
            computed=computed.get(parameter.name),
        )
        if parameter.default_json is not None:
            message.default_json = parameter.default_json
        messages.append(message)
    return messages
