"""The chain book: the steps at runners after which their runner may start others, by what gives somebody else a better claim."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import TypeAlias

from kaon_coordinator.matching.tickets import Lane, Ticket

# (tenant, priority, lane): chains of one kind compare alike with whoever waits, wherever they are.
ChainKind: TypeAlias = tuple[str, int, Lane]


def kind_of(ticket: Ticket) -> ChainKind:
    """Return the kind of the chain that the ticket leads."""
    return ticket.tenant, ticket.priority, ticket.lane


class ChainsAlike:
    """The chains of one kind that go on, and what is known of them.

    Whether a step of some lane could start where a chain ends stays as it is while the chain's runner stays as it is. So each
    chain is compared with a lane once, and again when its runner has changed.
    """

    __slots__ = ("_open", "chains")

    def __init__(self) -> None:
        self.chains: dict[Ticket, None] = {}
        # By lane: all chains but those that are known to have no room for such a step when they end.
        self._open: dict[Lane, dict[Ticket, None]] = {}

    def add(self, ticket: Ticket, compared: Container[Lane]) -> None:
        """Add a chain that has no room for steps of the lanes with which it was compared."""
        self.chains[ticket] = None
        for lane, tickets in self._open.items():
            if lane not in compared:
                tickets[ticket] = None

    def discard(self, ticket: Ticket) -> None:
        """Forget a chain."""
        del self.chains[ticket]
        for tickets in self._open.values():
            tickets.pop(ticket, None)

    def note_change(self, ticket: Ticket) -> None:
        """Record that the runner of a chain has changed."""
        for tickets in self._open.values():
            tickets[ticket] = None

    def to_compare(self, lane: Lane) -> Iterable[Ticket]:
        """Return the chains that may have room for steps of the lane. The caller ends those that have."""
        found = self._open.get(lane, self.chains)
        self._open[lane] = {}
        return tuple(found)

    def keep(self, lanes: Container[Lane]) -> None:
        """Forget what is known about other lanes."""
        for lane in tuple(self._open):
            if lane not in lanes:
                del self._open[lane]


class ChainBook:
    """Chains that go on, by kind, and chains whose runner was told to end them."""

    def __init__(self) -> None:
        self._kinds: dict[ChainKind, ChainsAlike] = {}
        # In the order in which their runners were told.
        self._told: dict[Ticket, None] = {}

    def __bool__(self) -> bool:
        """Tell whether there are chains."""
        return bool(self._kinds or self._told)

    def kinds(self) -> Iterable[tuple[ChainKind, ChainsAlike]]:
        """Return the chains that go on, by kind."""
        return self._kinds.items()

    def add(self, ticket: Ticket, compared: Container[Lane] = ()) -> None:
        """Add a chain that goes on, and has no room for steps of the lanes with which it was compared."""
        if ticket.leads:
            return
        ticket.leads = True
        kind = kind_of(ticket)
        alike = self._kinds.get(kind)
        if alike is None:
            alike = self._kinds[kind] = ChainsAlike()
        alike.add(ticket, compared)

    def quieten(self, ticket: Ticket) -> None:
        """Move a chain aside: its runner has just been told to end it, for the first time or again."""
        self.discard(ticket)
        self._told[ticket] = None

    def told(self, until: float) -> list[Ticket]:
        """Return the chains whose runners were last told at a time up to `until`, first told first."""
        return list(self._told_until(until))

    def recall(self, ticket: Ticket) -> None:
        """Count a chain as going on again although its runner was told to end it."""
        del self._told[ticket]
        self.add(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Forget a chain, if the ticket leads one."""
        if ticket.leads:
            ticket.leads = False
            kind = kind_of(ticket)
            alike = self._kinds[kind]
            alike.discard(ticket)
            if not alike.chains:
                del self._kinds[kind]
        elif ticket.chain_ended is not None:
            self._told.pop(ticket, None)

    def note_changes(self, tickets: Iterable[Ticket]) -> None:
        """Record that the runner of these steps has changed."""
        for ticket in tickets:
            if ticket.leads:
                self._kinds[kind_of(ticket)].note_change(ticket)

    def _told_until(self, until: float) -> Iterator[Ticket]:
        for ticket in self._told:
            if ticket.chain_ended is None or ticket.chain_ended > until:
                return
            yield ticket
