"""The error of the workflow language."""

from __future__ import annotations

from kaon.dsl.source import Source
from kaon_wire.errors import InvalidValue
from kaon_wire.statuses import fitting

# Of a problem, in bytes: it may quote a value of any length.
_MOST = 4_000


class WorkflowError(InvalidValue):
    """The workflow is invalid; the message names the line.

    Attributes:
        source: the line of the user's code to look at; None when the mistake is in no particular line.
        problem: what is wrong and what to do, without the place.
    """

    def __init__(self, problem: str, source: Source | None = None) -> None:
        problem = fitting(problem, _MOST)
        super().__init__(f"{source}: {problem}" if source is not None else problem)
        self.problem = problem
        self.source = source
