"""The outbox of notifications in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from kaon_coordinator.store.base import DueNotice, Notice, Undelivered


@dataclass(kw_only=True)
class _Kept:
    notice: Notice
    due_us: int | None
    attempts: int = 0
    error: str = ""


class MemoryNotices:
    """Notices in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int, str], _Kept] = {}

    def add(self, notices: Iterable[Notice]) -> None:
        """Adds notices, each once."""
        for notice in notices:
            self._kept.setdefault(_key(notice), _Kept(notice=notice, due_us=notice.time_us))

    def take(self, now_us: int, until_us: int, limit: int) -> list[DueNotice]:
        """Takes what is due."""
        due = [each for each in self._kept.values() if each.due_us is not None]
        due = [each for each in due if (each.due_us or 0) <= now_us]
        due.sort(key=lambda each: (each.due_us or 0, each.notice.run_id, each.notice.seq))
        for each in due[:limit]:
            each.due_us = until_us
        return [DueNotice(**vars(each.notice), attempts=each.attempts) for each in due[:limit]]

    def next_us(self) -> int | None:
        """When the next is due."""
        return min(
            (each.due_us for each in self._kept.values() if each.due_us is not None), default=None
        )

    def delivered(self, notice: DueNotice) -> None:
        """Removes one."""
        self._kept.pop(_key(notice), None)

    def failed(self, notice: DueNotice, error: str, due_us: int | None) -> None:
        """Puts one off."""
        if kept := self._kept.get(_key(notice)):
            kept.attempts, kept.error, kept.due_us = notice.attempts + 1, error, due_us

    def undelivered(self, limit: int) -> list[Undelivered]:
        """What failed, by tenant and channel."""
        failed = sorted(
            (each for each in self._kept.values() if each.attempts),
            key=lambda each: (each.notice.tenant, each.notice.channel),
        )
        found = []
        for (tenant, channel), group in groupby(
            failed, key=lambda each: (each.notice.tenant, each.notice.channel)
        ):
            members = list(group)
            given_up = sum(each.due_us is None for each in members)
            found.append(
                Undelivered(
                    tenant=tenant,
                    channel=channel,
                    given_up=given_up,
                    waiting=len(members) - given_up,
                    error=max(each.error for each in members),
                )
            )
        return found[:limit]

    def remove_old(self, before_us: int, limit: int) -> list[str]:
        """Removes what was given up."""
        old = [
            key
            for key, each in self._kept.items()
            if each.due_us is None and each.notice.time_us < before_us
        ][:limit]
        return [self._kept.pop(key).notice.run_id for key in old]


def _key(notice: Notice) -> tuple[str, int, str]:
    return notice.run_id, notice.seq, notice.channel
