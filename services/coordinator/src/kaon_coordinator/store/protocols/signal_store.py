"""Signals to all runs of a tenant."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from kaon_coordinator.store.records import Hearer, SentSignal
from kaonapi.run.v1 import command_pb2


class SignalStore(Protocol):
    """Who may hear a signal, and the signals that were sent."""

    @abstractmethod
    def open_versions(self, tenant: str) -> list[tuple[str, str]]:
        """Return the workflows and versions of the tenant's runs that have not ended."""

    @abstractmethod
    def hearers(
        self,
        tenant: str,
        workflow: str,
        version: str,
        gates: Collection[str],
        around: Collection[str],
        limit: int,
    ) -> list[Hearer]:
        """Return at most `limit` runs of a version that have not ended, oldest first, and that may hear a signal.

        Args:
            tenant: Whose runs.
            workflow: Of this workflow.
            version: Of this version.
            gates: The names of the gates that take it.
            around: The blocks of the run that are these gates or have them inside: runs in which all of them have ended are left
                out.
            limit: The most runs.
        """

    @abstractmethod
    def find_signal(self, tenant: str, key: str) -> SentSignal | None:
        """Return the signal that was sent under an idempotency key."""

    @abstractmethod
    def send_signal(
        self,
        signal: SentSignal,
        commands: Sequence[command_pb2.RunCommand],
        waiting: Collection[str],
    ) -> tuple[SentSignal, Sequence[int] | None]:
        """Store a signal together with a command for each run that it reaches, in one transaction.

        Runs that have ended meanwhile get none. The commands of a key that is taken are not stored.

        Args:
            signal: The signal; how many runs it has reached is counted here.
            commands: One for each run.
            waiting: The runs of these in which a gate waits.

        Returns:
            The stored signal, and the partitions whose owners have something to read; or the earlier signal of its key, and None.
        """

    @abstractmethod
    def remove_signals(self, before_us: int, limit: int) -> list[str]:
        """Delete at most `limit` signals from before a time, and return their keys."""
