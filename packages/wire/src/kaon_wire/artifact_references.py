"""References to artifacts within JSON values: objects whose only field is `artifact`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaon_wire import canonical

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
# What a text contains in which there may be a reference, also within a text of other JSON.
_MARK = "artifact"


def references(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the references in a value, at any depth."""
    if (
        isinstance(value, dict)
        and value.keys() == {"artifact"}
        and isinstance(value["artifact"], dict)
    ):
        yield value["artifact"]
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from references(each)


def digests(texts: Iterable[str]) -> set[str]:
    """Return the hex digits of all digests by which JSON texts refer to artifacts.

    Raises:
        InvalidValue: A text is not JSON.
    """
    return {
        match[1]
        for text in texts
        if _MARK in text
        for reference in references(canonical.loads(text))
        if (match := _DIGEST.match(str(reference.get("digest", "")))) is not None
    }


def outputs_of(data: str) -> set[str]:
    """Return the hex digits of the artifacts among the outputs of a row, given its data."""
    if _MARK not in data:
        return set()
    outputs: Mapping[str, str] = canonical.loads(data).get("outputs", {})
    return digests(outputs.values())
