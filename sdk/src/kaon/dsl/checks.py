"""Whether numbers and texts can travel. The bounds are those of the wire: a server refuses nothing that was accepted here."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

from google.protobuf.message import Message

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source
from kaon_wire import bounds
from kaon_wire.definitions.limits import DefinitionLimits, parse


def whole(
    value: object, what: str, source: Source, kind: type[Message], field: str, *, least: int
) -> int:
    """`value`, when it is a whole number that `field` of messages of this kind may have, and not below `least`.

    Raises:
        WorkflowError: it is not; the message says `what` it is, and the bounds.
    """
    described: Any = kind.DESCRIPTOR.fields_by_name[field]
    most = bounds.range_of(described)
    assert most is not None, field
    if type(value) is not int or not least <= value <= most.high:
        raise WorkflowError(
            f"{what} must be a whole number of at least {least} and at most {most.high}, not {value!r}",
            source,
        )
    return value


def text(value: object, what: str, source: Source) -> str:
    """`value`, when it is text that can be kept.

    Raises:
        WorkflowError: it is not.
    """
    if not isinstance(value, str):
        raise WorkflowError(f"{what} is text, not {value!r}", source)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise WorkflowError(
            f"{what} has a NUL character or half of a surrogate pair: {value[:80]!r}", source
        )
    return value


def limits() -> DefinitionLimits:
    """Return the limits of definitions: those of KAON_LIMITS, when the servers have others than the usual ones.

    Raises:
        InvalidValue: KAON_LIMITS cannot be read.
    """
    known = {each.name for each in fields(DefinitionLimits)}
    parts = os.environ.get("KAON_LIMITS", "").split(",")
    # It may name limits that concern no definition.
    return DefinitionLimits(
        **parse(",".join(part for part in parts if part.partition("=")[0].strip() in known), known)
    )
