"""References to artifacts within JSON values: objects whose only field is `artifact`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaon_wire import canonical

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
# What a text contains in which there may be a reference, also within a text of other JSON.
_MARK = "artifact"
# Types of artifacts whose references runners replace by what they have: a long list as JSON lines, and another value as JSON.
LIST_TYPE, VALUE_TYPE = "list", "value"
UNPACKED_TYPES = (LIST_TYPE, VALUE_TYPE)
# More than there is anywhere, and less than a column holds after many are added.
_LARGEST = 1 << 50


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
    return set(sizes(texts))


def sizes_of(data: str) -> dict[str, int]:
    """Return the bytes of the artifacts among the outputs of a row, as its step states them, by the hex digits of their digests."""
    if _MARK not in data:
        return {}
    outputs: Mapping[str, str] = canonical.loads(data).get("outputs", {})
    return sizes(outputs.values())


def sizes(texts: Iterable[str]) -> dict[str, int]:
    """Return the stated bytes of all artifacts to which JSON texts refer, by the hex digits of their digests.

    Raises:
        InvalidValue: A text is not JSON.
    """
    return {
        match[1]: _size(reference.get("size"))
        for text in texts
        if _may_refer(text)
        for reference in references(canonical.loads(text))
        if (match := _DIGEST.match(str(reference.get("digest", "")))) is not None
    }


def unpacked(texts: Iterable[str]) -> str:
    """Return the type of a reference that a runner would replace by the content of its artifact; empty when there is none.

    Coordinators alone make such references, of inputs that are too large to travel: whoever could name his own file in one would
    have all artifacts to which the file refers.

    Raises:
        InvalidValue: A text is not JSON.
    """
    found = (
        str(reference.get("type"))
        for text in texts
        if _may_refer(text)
        for reference in references(canonical.loads(text))
        if reference.get("type") in UNPACKED_TYPES
    )
    return next(found, "")


def _may_refer(text: str) -> bool:
    # Characters may be written as escapes.
    return _MARK in text or "\\u" in text


def _size(stated: Any) -> int:
    """Return a number of bytes; 0 for what is none."""
    is_number = isinstance(stated, int) and not isinstance(stated, bool)
    return stated if is_number and 0 <= stated <= _LARGEST else 0


def outputs_of(data: str) -> set[str]:
    """Return the hex digits of the artifacts among the outputs of a row, given its data."""
    if _MARK not in data:
        return set()
    outputs: Mapping[str, str] = canonical.loads(data).get("outputs", {})
    return digests(outputs.values())
