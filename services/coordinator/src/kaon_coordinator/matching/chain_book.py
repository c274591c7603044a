"""The chain book: the steps at runners after which their runner may start others, by what gives somebody else a better claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from kaon_coordinator.matching.tickets import Lane, Ticket

# (tenant, priority, lane): chains of one kind compare alike with whoever waits, wherever they are.
ChainKind: TypeAlias = tuple[str, int, Lane]


def kind_of(ticket: Ticket) -> ChainKind:
    """Return the kind of the chain that the ticket leads."""
    return ticket.tenant, ticket.priority, ticket.lane


class ChainBook:
    """Chains that go on, by kind, and chains whose runner was told to end them."""

    def __init__(self) -> None:
        self._kinds: dict[ChainKind, dict[Ticket, None]] = {}
        # In the order in which their runners were told.
        self._told: dict[Ticket, None] = {}

    def __bool__(self) -> bool:
        """Tell whether there are chains."""
        return bool(self._kinds or self._told)

    def __contains__(self, ticket: Ticket) -> bool:
        """Tell whether the ticket leads a chain that goes on as far as its runner was told."""
        return ticket in self._kinds.get(kind_of(ticket), ())

    def kinds(self) -> Iterable[tuple[ChainKind, Iterable[Ticket]]]:
        """Return the chains that go on, by kind."""
        return self._kinds.items()

    def add(self, ticket: Ticket) -> None:
        """Add a chain that goes on."""
        kind = kind_of(ticket)
        alike = self._kinds.get(kind)
        if alike is None:
            alike = self._kinds[kind] = {}
        alike[ticket] = None

    def quieten(self, ticket: Ticket) -> None:
        """Move a chain aside: its runner has just been told to end it."""
        self.discard(ticket)
        self._told[ticket] = None

    def recall(self, until: float) -> None:
        """Count chains as going on again whose runners were last told at a time up to `until`."""
        for ticket in tuple(self._told_until(until)):
            del self._told[ticket]
            self.add(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Forget a chain, if the ticket leads one."""
        if not self:
            return
        self._told.pop(ticket, None)
        kind = kind_of(ticket)
        alike = self._kinds.get(kind)
        if alike is None or ticket not in alike:
            return
        del alike[ticket]
        if not alike:
            del self._kinds[kind]

    def _told_until(self, until: float) -> Iterator[Ticket]:
        for ticket in self._told:
            if ticket.chain_ended is None or ticket.chain_ended > until:
                return
            yield ticket
