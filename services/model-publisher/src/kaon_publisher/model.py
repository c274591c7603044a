"""The model artifact: a directory with its serving code and its probe. Pure except for reading it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon_artifacts import Unreadable, opening
from kaon_publisher.errors import ModelRejected

FILE = "kaon-model.json"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A request whose answer is known."""

    request: Mapping[str, Any]
    expected: Mapping[str, Any]
    # Tolerance of numbers.
    tolerance: float


def read_probe(directory: Path) -> Probe:
    """Read the probe of the model in a directory.

    Raises:
        ModelRejected: The directory is not a model; the text names what is missing.
    """
    path = directory / FILE
    if not path.exists():
        raise ModelRejected(f"the model has no {FILE}: it must be a directory that holds one")
    try:
        document = json.loads(opening.read(path, most=_MOST_BYTES).decode())
        module = str(document["entry"]).partition(":")[0]
        probe = Probe(
            request=document["probe"]["request"],
            expected=document["probe"]["expected"],
            tolerance=float(document["probe"].get("tolerance", 1e-6)),
        )
    except Unreadable as error:
        raise ModelRejected(f"{FILE} cannot be read: {error}") from error
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ModelRejected(
            f"{FILE} is not of the form that it must have: {type(error).__name__}: {error}"
        ) from error
    if document.get("format") != 1:
        raise ModelRejected(
            f"{FILE} is of format {document.get('format')!r}; this publisher knows format 1"
        )
    if not (directory / f"{module}.py").is_file():
        raise ModelRejected(
            f"{FILE} names the entry {document['entry']!r}, but the model has no {module}.py"
        )
    return probe


def difference(expected: Any, found: Any, tolerance: float, place: str = "answer") -> str:
    """Describe where `found` differs from `expected`; empty when it does not."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        if expected.keys() != found.keys():
            return f"{place} has {sorted(found)}, expected {sorted(expected)}"
        parts = (
            difference(expected[each], found[each], tolerance, f"{place}.{each}")
            for each in expected
        )
        return next(filter(None, parts), "")
    if isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{place} has {len(found)} entries, expected {len(expected)}"
        pairs = enumerate(zip(expected, found, strict=True))
        return next(
            filter(None, (difference(a, b, tolerance, f"{place}[{i}]") for i, (a, b) in pairs)), ""
        )
    if _number(expected) and _number(found):
        near = math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
        return "" if near else f"{place} is {found}, expected {expected} within {tolerance}"
    return "" if expected == found else f"{place} is {found!r}, expected {expected!r}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
