"""What the checks know, and where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kaon_wire import canonical
from kaon_wire.definitions.limits import DefinitionLimits
from kaon_wire.definitions.names import Names
from kaon_wire.errors import KaonError


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a binding stands: the names of the blocks around it and its own, and whether one of them is a hook."""

    chain: tuple[str, ...]
    hook: bool

    @property
    def name(self) -> str:
        """The block's name."""
        return self.chain[-1]

    @property
    def outside(self) -> Place:
        """The same place as what is bound before the block begins sees it: without the block itself."""
        return Place(chain=self.chain[:-1], hook=self.hook)


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What every check may ask."""

    names: Names
    limits: DefinitionLimits
    # What is wrong with an expression or a label expression; empty when nothing is.
    expression: Callable[[str], str]
    label: Callable[[str], str]


def json_problem(place: str, text: str) -> Iterator[str]:
    """Whether a text is JSON."""
    try:
        canonical.strict(text)
    except KaonError as error:
        yield f"{place}: {error}"
