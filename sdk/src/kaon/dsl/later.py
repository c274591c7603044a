"""Policies of blocks that are values of the run: they are kept apart, by the fields of the definition that they belong to."""

from __future__ import annotations

from typing import Any

from kaon.dsl.values import Value


class Later:
    """Collects the policies of one block that are known only when it begins."""

    def __init__(self) -> None:
        # By the path of the field in a block of the definition.
        self.values: dict[str, Any] = {}

    def take(self, field: str, given: Any, instead: Any) -> Any:
        """Return what was given for a policy or, when that is a value of the run, keep it and return something else."""
        if not known_later(given):
            return given
        self.values[field] = given
        return instead


def known_later(given: object) -> bool:
    """Tell whether something is a value of the run, or has one in it."""
    if isinstance(given, dict):
        return any(known_later(each) for each in given.values())
    if isinstance(given, list | tuple):
        return any(known_later(each) for each in given)
    return isinstance(given, Value)
