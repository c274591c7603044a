"""Limits of definitions. A deployment may set others, in KAON_LIMITS."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class DefinitionLimits:
    """Limits of a definition."""

    # Cells of one foreach.
    foreach_items: int = 100_000
    # Bytes of a definition, and nesting depth of blocks.
    definition_bytes: int = 1_048_576
    nesting_depth: int = 16
    # Iterations of one repeat.
    iterations: int = 10_000
    # Bytes of a step's declaration without its inputs (mainly its config): it travels with the step, in one
    # record.
    step_bytes: int = 262_144
    # Bytes of one inline value output, and of a gate's default; larger values belong into an artifact.
    inline_output_bytes: int = 65_536


DEFAULT = DefinitionLimits()


def parse(text: str, names: Collection[str]) -> dict[str, int]:
    """Parse limits from a text such as "foreach_items=1000, iterations=50", by name.

    Raises:
        InvalidValue: A name is not among `names`, or a value is not a whole number above 0.
    """
    given: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = (each.strip() for each in part.partition("="))
        if name not in names:
            raise InvalidValue(f"there is no limit {name!r}; there are {', '.join(sorted(names))}")
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise InvalidValue(f"the limit {name} must be a whole number above 0, not {value!r}")
        given[name] = int(value)
    return given
