"""Errors of requests: invalid ones, and callers without permission."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaon_wire.errors import InvalidValue, KaonError

# Number of reported problems of one request; the rest is counted.
SHOWN_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a request."""

    # The field, such as "params_json[users]".
    field: str
    text: str


class InvalidRequest(InvalidValue):
    """A request with one or more problems, all reported at once."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        lines = [problem.text for problem in problems[:SHOWN_PROBLEMS]]
        if len(problems) > SHOWN_PROBLEMS:
            lines.append(f"and {len(problems) - SHOWN_PROBLEMS} more")
        super().__init__(
            f"{what}: {lines[0]}" if len(lines) == 1 else "\n- ".join([f"{what}:", *lines])
        )
        self.problems = tuple(problems)


class Denied(KaonError):
    """The caller lacks a role or a tenant that the request needs."""


class FailedPrecondition(KaonError):
    """The state of the run, or of another named object, does not allow the request."""
