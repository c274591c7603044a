"""What of the artifacts and code bundles is still named."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import References


class ReferenceStore(Protocol):
    """What of the artifacts and code bundles is still named."""

    @abstractmethod
    def references(self, superseded_us: int) -> References:
        """The artifacts and code bundles that are named anywhere: by runs with all their history, by commands that wait, memoized
        results, schedules, and workflows. A version of a workflow counts while it is the current one, while a run or schedule names
        it, and when it was followed by a newer one after `superseded_us`. Reads everything, in short transactions: what moves from
        one row to another meanwhile is seen."""
