"""What of the artifacts and code bundles is still named."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import References


class ReferenceStore(Protocol):
    """What of the artifacts and code bundles is still named."""

    @abstractmethod
    def references(self, superseded_us: int) -> References:
        """Return the artifacts and code bundles that any row names.

        These are runs with their histories, waiting commands, memos, schedules and workflows. A version of a
        workflow counts while it is the current one, while a run or schedule names it, and when a newer one
        followed it after `superseded_us`. It reads everything, in short transactions; a name that moves
        between rows meanwhile is seen.
        """
