"""Faults of the engine: something that nobody has foreseen is raised for one run, somewhere on its way.

The places are functions of the production code, wrapped once for the whole process. They raise only in the world that is just run,
and only for runs that its plan poisons.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from kaon_coordinator import faults
from kaon_coordinator.shell import effects, ending, partition, turn


class EngineBroken(RuntimeError):
    """What is raised. Not an error of Kaon's."""


@dataclass(kw_only=True)
class Poison:
    """Whom it concerns in one world, where, and how often it is still raised."""

    # By run and place.
    armed: dict[tuple[str, str], int] = field(default_factory=dict)
    # The runs for which it was raised.
    raised: set[str] = field(default_factory=set)

    def arm(self, run_id: str, place: str) -> None:
        """Raises once at a place; "ending": also while the run is ended for that, so that it is set aside."""
        if place == "ending":
            # Everything of it raises: it cannot be ended either.
            self.armed[run_id, "decide"], self.armed[run_id, "end"] = 1, 2
        else:
            # A refused transaction is tried again with the run alone.
            self.armed[run_id, place] = 2 if place == "commit" else 1

    def clear(self) -> None:
        """From now on nothing raises."""
        self.armed.clear()

    def refuse(self, run_ids: Collection[str]) -> None:
        """Raises as a database that does not take what one of these runs writes, until it is alone."""
        for run_id in sorted(run_ids):
            if self.armed.get((run_id, "commit")):
                if len(run_ids) == 1:
                    self.strike(run_id, "commit")
                raise EngineBroken(
                    f"a transaction of {len(run_ids)} runs, one of which is {run_id}"
                )

    def strike(self, run_id: str, place: str) -> None:
        """Raises if it is to."""
        left = self.armed.get((run_id, place), 0)
        if left:
            self.armed[run_id, place] = left - 1
            self.raised.add(run_id)
            raise EngineBroken(f"run {run_id}: {place}")


_current = Poison()


def apply(poison: Poison) -> None:
    """From now on this poison is at work, in this process. References are counted: one seed gives one history."""
    global _current  # noqa: PLW0603 -- one world is run at a time
    _current = poison
    numbers = itertools.count(1)
    faults.new_reference = lambda: f"{next(numbers):012x}"


def _wrap(module: Any, name: str, place: str) -> None:
    """Lets a function raise, after it has done its work: whatever it has changed is changed."""
    real: Callable[..., Any] = getattr(module, name)

    def poisoned(first: Any, *args: Any, **kwargs: Any) -> Any:
        result = real(first, *args, **kwargs)
        _current.strike(first.run_id, place)
        return result

    setattr(module, name, poisoned)


PLACES = ("decide", "rows", "request", "derive", "commit", "ending")

_wrap(turn, "decide", "decide")
_wrap(turn, "run_row", "rows")
_wrap(effects.requests, "step_request", "request")
_wrap(partition, "derive", "derive")
_wrap(ending, "end_faulted", "end")
_wrap(ending, "end_barely", "end")
