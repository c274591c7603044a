"""Signals as callers send them: checked, and completed with the defaults of their fields."""

from __future__ import annotations

from kaon_coordinator import params
from kaon_wire import canonical
from kaon_wire.definitions.gate_fields import fields_of_signal
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import InvalidValue, NotFound
from kaon_wire.texts import enumerated, meant
from kaonapi.workflow.v1 import definition_pb2 as d

_NAME_CHARACTERS = 200
_PAYLOAD_BYTES = 65_536


def checked(name: str, payload_json: str) -> str:
    """Check the name and the payload of a signal, and return the payload as canonical JSON.

    Raises:
        InvalidValue: One of them is out of its bounds, or the payload is not JSON.
    """
    if not 0 < len(name) <= _NAME_CHARACTERS:
        raise InvalidValue(f"name: use 1 to {_NAME_CHARACTERS} characters")
    if len(payload_json) > _PAYLOAD_BYTES:
        raise InvalidValue(f"payload_json: use at most {_PAYLOAD_BYTES} bytes")
    return params.canonical_text("payload_json", payload_json or "null")


def awaited(definition: d.WorkflowDefinition, name: str) -> None:
    """Check that a gate of a workflow takes signals of a name, now or when it begins: nobody would take another one.

    Raises:
        NotFound: No gate does; the error has the nearest names.
    """
    gates = (block.gate for block in all_blocks(definition.body))
    known = list(dict.fromkeys(gate.signal.name for gate in gates if gate.HasField("signal")))
    if name in known:
        return
    hint = "it has no signal gate (to signal a running step, give its path)"
    if known:
        hint = meant(name, known) or f"its gates take {enumerated(known)}"
    raise NotFound(f"nothing in workflow {definition.name!r} waits for signal {name!r}; {hint}")


def completed(definition: d.WorkflowDefinition, name: str, payload: str) -> str:
    """Return a payload with the defaults of the fields that the gates of a workflow declare.

    Raises:
        InvalidRequest: The payload is not what the gates declare; the error names each wrong field.
    """
    fields = fields_of_signal(definition, name)
    if not fields:
        return payload
    value = canonical.loads(payload)
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise InvalidValue(f"payload_json: the payload of signal {name!r} is an object")
    given = {key: canonical.dumps(each) for key, each in value.items()}
    what = f"the payload of signal {name!r}"
    values = params.complete_fields(fields, given, what=what, field="payload_json")
    return canonical.dumps({key: canonical.loads(text) for key, text in values.items()})
