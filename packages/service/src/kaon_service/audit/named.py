"""What a request names: enough to find a call again, and never a value of a user's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

# Fields whose texts name a thing. Parameters, outputs, comments and code are told by the request's digest alone.
_NAMING = frozenset(
    {
        "artifact_digest",
        "block",
        "code_bundle",
        "consumer",
        "digest",
        "kind",
        "model",
        "name",
        "node",
        "parent_run_id",
        "path",
        "pool",
        "priority",
        "reset",
        "roles",
        "run_id",
        "seq",
        "tag",
        "tenant",
        "token_id",
        "topics",
        "version",
        "workflow",
    }
)
# Messages that hold such fields.
_HOLDING = frozenset({"caller", "definition", "lineage", "permits", "schedule", "tenant"})
_CHARACTERS = 200
_ALL_CHARACTERS = 1_000


def named(request: Message) -> str:
    """Return what a request names, as fields and values."""
    return " ".join(_told(request))[:_ALL_CHARACTERS]


def digest(request: Message) -> str:
    """Return the SHA-256 of a request in hexadecimal digits."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def _told(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.name in _HOLDING and not field.is_repeated:
                yield from _told(value)
        elif field.name in _NAMING:
            yield f"{field.name}={_text(field, value)}"


def _text(field: FieldDescriptor, value: object) -> str:
    texts = [str(each) for each in value] if field.is_repeated else [str(value)]  # type: ignore[attr-defined]
    shown = ",".join(texts)[:_CHARACTERS]
    return shown if shown.isprintable() and " " not in shown else ascii(shown)
