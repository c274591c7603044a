"""Conditions over how blocks have ended, by which a block starts: `train.when(load.succeeded & (a.failed | b.succeeded))`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source, caller
from kaon.dsl.values import HasOutcome
from kaonapi.workflow.v1 import definition_pb2 as d


class Condition:
    """What holds of the ends of blocks; `&` and `|` join conditions."""

    source: Source

    def __and__(self, other: object) -> Joined:
        return Joined(sign="&", parts=_both("&", self, other), source=caller())

    def __or__(self, other: object) -> Joined:
        return Joined(sign="|", parts=_both("|", self, other), source=caller())

    def __bool__(self) -> NoReturn:
        raise WorkflowError(
            f"{self!r} is known only when the run is under way: join conditions by & and |, not by `and`, `or` and `not`",
            caller(),
        )

    def ends(self) -> Iterator[End]:
        """Yield every end that the condition looks at."""
        raise NotImplementedError

    def message(self, names: Any) -> d.StartCondition:
        """Return the condition as a definition has it, with the name of each block."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class End(Condition):
    """A block has ended in one way: `step.succeeded`, `step.failed`, `step.skipped`, `step.passed`, `step.ended`."""

    block: HasOutcome
    kind: d.BlockEndKind.ValueType
    # The way, as it is written.
    word: str
    source: Source

    def __repr__(self) -> str:
        block = repr(self.block)
        return f"{block}.{self.word}" if " " not in block else f"({block}).{self.word}"

    def ends(self) -> Iterator[End]:
        """See `Condition`."""
        yield self

    def message(self, names: Any) -> d.StartCondition:
        """See `Condition`."""
        return d.StartCondition(end=d.BlockEnd(block=names[self.block], kind=self.kind))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Joined(Condition):
    """Conditions that all hold ("&"), or of which at least one holds ("|")."""

    sign: str
    parts: tuple[Condition, ...]
    source: Source

    def __repr__(self) -> str:
        sign = f" {self.sign} "
        return sign.join(
            f"({each!r})" if isinstance(each, Joined) else repr(each) for each in self.parts
        )

    def ends(self) -> Iterator[End]:
        """See `Condition`."""
        for each in self.parts:
            yield from each.ends()

    def message(self, names: Any) -> d.StartCondition:
        """See `Condition`."""
        parts = d.StartConditions(conditions=[each.message(names) for each in self.parts])
        return d.StartCondition(all=parts) if self.sign == "&" else d.StartCondition(any=parts)


def check_condition(value: object, where: str, source: Source) -> Condition:
    """Return `value`, when it is a condition over ends.

    Raises:
        WorkflowError: it is something else.
    """
    if isinstance(value, Condition):
        return value
    raise WorkflowError(
        f"{where} takes ends of blocks, such as load.succeeded & (a.failed | b.succeeded), not {value!r}",
        source,
    )


def _both(sign: str, left: Condition, right: object) -> tuple[Condition, ...]:
    """Return what a sign joins; conditions that the same sign joined already are not nested."""
    right = check_condition(right, sign, caller())
    return tuple(
        inner
        for each in (left, right)
        for inner in (each.parts if isinstance(each, Joined) and each.sign == sign else (each,))
    )
