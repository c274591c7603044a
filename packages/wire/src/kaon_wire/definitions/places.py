"""The context of the checks, and places in a definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kaon_wire import canonical
from kaon_wire.definitions.limits import DefinitionLimits
from kaon_wire.definitions.names import Names
from kaon_wire.errors import KaonError


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of a binding: the names of its enclosing blocks and its own, and whether one of them is a hook."""

    chain: tuple[str, ...]
    hook: bool

    @property
    def name(self) -> str:
        """Return the block's name."""
        return self.chain[-1]

    @property
    def outside(self) -> Place:
        """Return the enclosing place, for values that are bound before the block begins."""
        return Place(chain=self.chain[:-1], hook=self.hook)


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The context of every check."""

    names: Names
    limits: DefinitionLimits
    # Returns the fault of a label expression; empty when there is none.
    label: Callable[[str], str]


def json_problem(place: str, text: str) -> Iterator[str]:
    """Describe why a text is not JSON; empty when it is."""
    try:
        canonical.strict(text)
    except KaonError as error:
        yield f"{place}: {error}"
