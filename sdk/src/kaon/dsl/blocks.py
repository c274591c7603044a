"""The parts of which users put a workflow together, and the operators between them.

`a >> b` is `sequence(a, b)`, `a | b` is `parallel(a, b)`, `a ** each(...)` is `for_each(each, a)` and `a ** until(...)` is
`repeat(a, until=...)`. Python binds `**` tighter than `>>`, and `>>` tighter than `|`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kaon.dsl import types
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Item, Reference
from kaonapi.workflow.v1 import definition_pb2 as d


class Part:
    """Anything that can stand in a workflow's body."""

    source: Source

    def __rshift__(self, after: object) -> Sequence:
        source = caller()
        return Sequence(parts=(self, check_part(after, ">>", source)), source=source)

    def __or__(self, beside: object) -> Parallel:
        source = caller()
        return Parallel(parts=(self, check_part(beside, "|", source)), source=source)

    def __pow__(self, control: object) -> ForEach | Repeat:
        source = caller()
        if isinstance(control, Each):
            return ForEach(each=control, body=self, name=control.block, source=source)
        if isinstance(control, Until):
            return Repeat(until=control, body=self, name=control.block, source=source)
        raise WorkflowError(f"right of ** stands each(...) or until(...), not {_describe(control)}", source)

    def __rrshift__(self, before: object) -> Sequence:
        return Sequence(parts=(check_part(before, ">>", caller()), self), source=caller())

    def __ror__(self, beside: object) -> Parallel:
        return Parallel(parts=(check_part(beside, "|", caller()), self), source=caller())


@dataclass(frozen=True, kw_only=True, eq=False)
class Sequence(Part):
    """Parts one after the other."""

    parts: tuple[Part, ...]
    source: Source

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _spliced(self.parts, Sequence))


@dataclass(frozen=True, kw_only=True, eq=False)
class Parallel(Part):
    """Parts side by side."""

    parts: tuple[Part, ...]
    source: Source

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _spliced(self.parts, Parallel))


class Block(Part):
    """A part that is one node of a graph, with a name in the run's paths."""

    # None: the workflow finds a name from `stem`.
    name: str | None

    @property
    def stem(self) -> str:
        """What the name is made from when the user gave none."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What errors call this block."""
        return f"{type(self).__name__.lower()} {self.name or self.stem!r}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Step(Block):
    """A unit of work that one runner executes; the functions of `kaon.steps` make it.

    `step["output"]` is a reference to what it will produce.
    """

    name: str
    type: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, d.ValueType.ValueType]
    # Static settings of the step type.
    config: Mapping[str, Any]
    # Where it runs and how, as far as the definition says it: everything but type, inputs, outputs and config.
    policy: d.Step
    # A file of the workflow's directory that the step needs, as written.
    file: str | None = None
    # The Python function that the step calls.
    function: Any = None
    source: Source

    @property
    def stem(self) -> str:
        return self.name

    def __getitem__(self, output: str) -> Reference:
        source = caller()
        if output not in self.outputs:
            raise WorkflowError(f"step {self.name!r} has no output {output!r}; {self._declared()}", source)
        return Reference(step=self, output=output, source=source)

    def __iter__(self) -> Any:
        raise WorkflowError(
            f'step {self.name!r} is not a list; name an output, such as {self.name}["rows"]', caller()
        )

    def __str__(self) -> str:
        return f"step {self.name!r}"

    def _declared(self) -> str:
        if not self.outputs:
            return 'it declares none: add outputs={"' + "name" + '": "dataset"}'
        return "it declares " + ", ".join(
            f"{name} ({types.name_of(kind)})" for name, kind in self.outputs.items()
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Each(Item):
    """The item of a foreach together with where its items come from; `each` makes it."""

    items: Any
    max_concurrency: int
    failure: d.FailurePolicy | None
    # Name of the foreach; None when it is made from `items`.
    block: str | None

    def __rpow__(self, left: object) -> Any:
        raise WorkflowError(f"left of ** {self} stands a step or a body, not {_describe(left)}", caller())

    def __pow__(self, right: object) -> Any:
        raise WorkflowError("Python reads x ** a ** b from the right; write (x ** a) ** b", caller())


@dataclass(frozen=True, kw_only=True, eq=False)
class Until:
    """When a repeat ends; `until` makes it."""

    condition: Any
    max_iterations: int
    exhausted: d.Exhausted.ValueType
    # Name of the repeat; None means the default.
    block: str | None
    source: Source

    def __rpow__(self, left: object) -> Any:
        raise WorkflowError(f"left of ** until(...) stands a step or a body, not {_describe(left)}", caller())

    def __pow__(self, right: object) -> Any:
        raise WorkflowError("Python reads x ** a ** b from the right; write (x ** a) ** b", caller())


@dataclass(frozen=True, kw_only=True, eq=False)
class ForEach(Block):
    """A body that runs once for each item of a list."""

    each: Each
    body: Part
    name: str | None
    source: Source

    @property
    def stem(self) -> str:
        from kaon.dsl.names import block_name

        items = self.each.items
        named = getattr(items, "output", None) or getattr(items, "name", None)
        written = block_name(named) if isinstance(named, str) else ""
        return written or f"each-{block_name(self.each.name) or 'item'}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeat(Block):
    """A body that runs again until a condition holds."""

    until: Until
    body: Part
    name: str | None
    source: Source

    @property
    def stem(self) -> str:
        return "cycle"


@dataclass(frozen=True, kw_only=True, eq=False)
class When:
    """One way of a branch; `when` makes it."""

    condition: Any
    body: Part
    source: Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch(Block):
    """The first body whose condition holds."""

    cases: tuple[When, ...]
    otherwise: Part | None = field(default=None)
    name: str | None
    source: Source

    @property
    def stem(self) -> str:
        return "branch"


def check_part(value: object, where: str, source: Source) -> Part:
    """`value`, when it can stand in a body.

    Raises:
        WorkflowError: it cannot.
    """
    if isinstance(value, Part):
        return value
    raise WorkflowError(f"{where} joins steps and blocks, not {_describe(value)}", source)


def _spliced(parts: tuple[Part, ...], kind: type[Sequence | Parallel]) -> tuple[Part, ...]:
    """The parts with those of the same kind replaced by their own, so that long chains do not nest."""
    return tuple(inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,)))


def _describe(value: object) -> str:
    if isinstance(value, Reference):
        return f"{value}, which is data (the order of steps is written with the steps themselves)"
    if callable(value):
        return f'the function {getattr(value, "__name__", value)}; make a step of it: steps.python("name", function)'
    return repr(value)
