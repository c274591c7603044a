"""Whom a workflow tells of its runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import refuses_others
from kaon.dsl.source import Source, caller
from kaon_wire.definitions.notifications import CHANNEL_NAME, CHANNEL_NAME_RULE
from kaon_wire.texts import meant
from kaonapi.workflow.v1 import definition_pb2 as d

Occasion: TypeAlias = Literal[
    "succeeded", "failed", "cancelled", "late", "retry", "waiting", "running"
]
_PREFIX = "OCCASION_"
_OCCASIONS = {
    name.removeprefix(_PREFIX).lower(): value
    for name, value in d.Occasion.items()
    if value != d.OCCASION_UNSPECIFIED
}


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Made by `notify`."""

    on: tuple[Occasion, ...]
    channel: str

    def to_proto(self) -> d.Notification:
        """Convert it to a message."""
        return d.Notification(on=[_OCCASIONS[each] for each in self.on], channel=self.channel)


@refuses_others
def notify(*on: Occasion, to: str) -> Notification:
    """Tell a channel of the deployment about occasions of a run: `Workflow(..., notify=notify("failed", "late", to="ops"))`.

    Args:
        on: "succeeded", "failed" (timed out, too), "cancelled", "late" (a deadline was missed), "retry" (a step failed and is
            tried again), "waiting" (an approval or signal is waited for) and "running" (the run has begun).
        to: the name of the channel; the deployment's administrator makes channels.

    Raises:
        WorkflowError: an occasion is none, is missing or is there twice, or the name can be none of a channel.
    """
    source = caller()
    if not on:
        raise WorkflowError(f"notify() needs an occasion: {_words(' | ')}", source)
    for each in on:
        if not isinstance(each, str) or each not in _OCCASIONS:
            hint = meant(str(each), _OCCASIONS, most=1) or f"use {_words(' | ')}"
            raise WorkflowError(f"notify(): {each!r} is no occasion; {hint}", source)
    if len(set(on)) < len(on):
        raise WorkflowError("notify() names an occasion twice", source)
    if not isinstance(to, str) or not CHANNEL_NAME.fullmatch(to):
        raise WorkflowError(
            f"notify(to={to!r}): the name of a channel has {CHANNEL_NAME_RULE}", source
        )
    return Notification(on=on, channel=to)


def checked(given: object, source: Source) -> list[Notification]:
    """Return what a workflow was given for `notify`.

    Raises:
        WorkflowError: it is something else than what `notify(...)` makes.
    """
    found = [given] if isinstance(given, Notification) else given
    if not isinstance(found, Iterable) or isinstance(found, str):
        raise WorkflowError(f'notify takes notify("failed", to="ops"), not {given!r}', source)
    entries = list(found)
    for each in entries:
        if not isinstance(each, Notification):
            raise WorkflowError(f'notify takes notify("failed", to="ops"), not {each!r}', source)
    return entries


def _words(between: str) -> str:
    return between.join(f'"{word}"' for word in _OCCASIONS)
