"""The outbox of notifications."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import DueNotice, Undelivered


class NoticeStore(Protocol):
    """The outbox of notifications: a commit adds notices, and whoever takes one delivers it.

    A notice is taken for a time. When its taker ends meanwhile, another takes it afterwards: it is delivered at
    least once.
    """

    @abstractmethod
    def take_notices(self, now_us: int, until_us: int, limit: int) -> list[DueNotice]:
        """Take at most `limit` notices that are due, oldest first; nobody else gets them before `until_us`."""

    @abstractmethod
    def next_notice_us(self) -> int | None:
        """Return when the next notice is due, microseconds since the epoch; None when none waits."""

    @abstractmethod
    def notice_delivered(self, notice: DueNotice) -> None:
        """Delete a notice that its channel has accepted."""

    @abstractmethod
    def notice_failed(self, notice: DueNotice, error: str, due_us: int | None) -> None:
        """Note a failed delivery, and when the next one is due; None gives the notice up."""

    @abstractmethod
    def undelivered(self, limit: int) -> list[Undelivered]:
        """Return what channels have not accepted, by tenant and channel, at most `limit`."""

    @abstractmethod
    def remove_notices(self, before_us: int, limit: int) -> list[str]:
        """Delete at most `limit` notices made before a time that were given up; return their runs."""
