"""The parts of which users put a workflow together, and the operators between them.

`a >> b` is `sequence(a, b)`, `a | b` is `parallel(a, b)`, `a ** each(...)` is `for_each(each, a)` and `a ** until(...)` is
`repeat(a, until=...)`. Python binds `**` tighter than `>>`, and `>>` tighter than `|`. Every part has hooks (`.finally_(cleanup)`,
`.on_failure(alert)`), and every block a rule of when it starts (`.when_any()`, `.when_all_done()`, ..., and in general
`.when(a.succeeded | b.failed)`); the failure of an `.optional()` block stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NoReturn

from kaon.dsl.conditions import Condition, End, check_condition
from kaon.dsl.errors import WorkflowError
from kaon.dsl.locks import Lock
from kaon.dsl.names import block_name
from kaon.dsl.source import Source, caller
from kaon.dsl.values import BlockOutcome, Expr, Item, Reference, Value
from kaonapi.workflow.v1 import definition_pb2 as d

NONE_BOUND: Mapping[str, Any] = MappingProxyType({})
# Parts of a sequence or a parallel that errors show.
_SHOWN = 4


class Part:
    """A part of the body of a workflow: a node, or several in order or in parallel."""

    source: Source

    def __repr__(self) -> str:
        """Return it as it is written, shortened: a >> (b | c)."""
        raise NotImplementedError

    def __rshift__(self, after: object) -> Sequence:
        source = caller()
        return Sequence(parts=(self, check_part(after, ">>", source)), source=source)

    def __or__(self, beside: object) -> Parallel:
        source = caller()
        return Parallel(parts=(self, check_part(beside, "|", source)), source=source)

    def __pow__(self, control: object) -> ForEach | Repeat:
        source = caller()
        if isinstance(control, Each):
            return over_each(control, self, source)
        if isinstance(control, Until):
            return over_iterations(control, self, source)
        raise WorkflowError(
            f"right of ** stands each(...), until(...) or while_(...), not {_describe(control)}",
            source,
        )

    def __rrshift__(self, before: object) -> Sequence:
        return Sequence(parts=(check_part(before, ">>", caller()), self), source=caller())

    def __ror__(self, beside: object) -> Parallel:
        return Parallel(parts=(check_part(beside, "|", caller()), self), source=caller())

    def finally_(self, *hooks: Part) -> Group:
        """Add hooks that run after everything else in this part, whatever its outcome, cancellation included.

        Raises:
            WorkflowError: there is none, or one is no part.
        """
        source = caller()
        return _with_hooks(self, final=_checked(hooks, "finally_", source), source=source)

    def on_failure(self, *hooks: Part) -> Group:
        """Add hooks that run when this part has failed or timed out, before those of `finally_`.

        Raises:
            WorkflowError: there is none, or one is no part.
        """
        source = caller()
        return _with_hooks(self, failure=_checked(hooks, "on_failure", source), source=source)

    def on_running(self, *hooks: Part) -> Watched:
        """Add hooks that start as soon as this step runs at a runner.

        Raises:
            WorkflowError: there is none, one is no part, or this is not one block.
        """
        source = caller()
        return _watched(self, hooks, "on_running", d.TRIGGER_RULE_ANY_RUNNING, source)

    def on_retry(self, *hooks: Part) -> Watched:
        """Add hooks that start as soon as an attempt of this step has failed and is repeated; once, however often.

        Raises:
            WorkflowError: there is none, one is no part, or this is not one block.
        """
        source = caller()
        return _watched(self, hooks, "on_retry", d.TRIGGER_RULE_ANY_RETRIED, source)

    def on_late(self, *hooks: Part) -> Watched:
        """Add hooks that start as soon as this step or block, which has a deadline, is late.

        Raises:
            WorkflowError: there is none, one is no part, or this is not one block.
        """
        source = caller()
        return _watched(self, hooks, "on_late", d.TRIGGER_RULE_ANY_LATE, source)

    def when(self, condition: Condition) -> Triggered:
        """Start this part as soon as a condition over the ends of the blocks right before it holds; skip it when they end without.

        The condition names all of them: `(load | a | b) >> train.when(load.succeeded & (a.failed | b.succeeded))`.

        Raises:
            WorkflowError: it is no such condition.
        """
        checked = check_condition(condition, "when()", caller())
        return replace(_triggered(self, d.TRIGGER_RULE_CONDITION), condition=checked)

    def when_any(self) -> Triggered:
        """Start this part as soon as one of the blocks before it has succeeded."""
        return _triggered(self, d.TRIGGER_RULE_ANY_SUCCEEDED)

    def when_all_done(self) -> Triggered:
        """Start this part when all blocks before it have ended, with any status; their failures do not stop it."""
        return _triggered(self, d.TRIGGER_RULE_ALL_DONE)

    def when_all_succeeded(self) -> Triggered:
        """Start this part when all blocks before it have succeeded; skip it when one of them was skipped."""
        return _triggered(self, d.TRIGGER_RULE_ALL_SUCCEEDED)

    def when_none_failed(self) -> Triggered:
        """Start this part when all blocks before it have succeeded or were skipped: the usual rule, said aloud."""
        return _triggered(self, d.TRIGGER_RULE_ALL_PASSED)

    def when_any_failed(self) -> Triggered:
        """Start this part as soon as one of the blocks before it has failed; skip it when all end and none fails."""
        return _triggered(self, d.TRIGGER_RULE_ANY_FAILED)

    def when_all_failed(self) -> Triggered:
        """Start this part when all blocks before it have failed; otherwise skip it, and their failures count."""
        return _triggered(self, d.TRIGGER_RULE_ALL_FAILED)

    def when_always(self) -> Triggered:
        """Start this part at once, whatever becomes of the blocks before it."""
        return _triggered(self, d.TRIGGER_RULE_ALWAYS)

    def optional(self) -> Triggered:
        """Record a failure of this part, and let it stop nothing: what comes after starts as after a skipped block."""
        source = caller()
        part = _one_block(self, "optional() belongs to one block: give it to each step", source)
        if isinstance(part, Triggered):
            return replace(part, settles=True)
        return Triggered(block=part, settles=True, source=source)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Sequence(Part):
    """Parts one after the other."""

    parts: tuple[Part, ...]
    source: Source

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _spliced(self.parts, Sequence))

    def __repr__(self) -> str:
        return _joined(self.parts, " >> ", Parallel)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Parallel(Part):
    """Parts side by side."""

    parts: tuple[Part, ...]
    source: Source

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _spliced(self.parts, Parallel))

    def __repr__(self) -> str:
        return _joined(self.parts, " | ")


class HasEnd(Part):
    """A part whose end later parts may look at."""

    def _block(self) -> Block:
        block = self.block if isinstance(self, Triggered) else self
        assert isinstance(block, Block)
        return block

    def _outcome(self, field: str) -> BlockOutcome:
        return BlockOutcome(block=self._block(), field=field, source=caller())

    def _end(self, kind: d.BlockEndKind.ValueType, word: str) -> End:
        return End(block=self._block(), kind=kind, word=word, source=caller())

    @property
    def succeeded(self) -> End:
        """It has succeeded; for `.when(...)`."""
        return self._end(d.BLOCK_END_KIND_SUCCEEDED, "succeeded")

    @property
    def failed(self) -> End:
        """It has failed or timed out, or was skipped for a failure further up; for `.when(...)`."""
        return self._end(d.BLOCK_END_KIND_FAILED, "failed")

    @property
    def skipped(self) -> End:
        """It was skipped, and not for what comes before it; for `.when(...)`."""
        return self._end(d.BLOCK_END_KIND_SKIPPED, "skipped")

    @property
    def passed(self) -> End:
        """It has succeeded or was skipped, or has failed and is optional; for `.when(...)`."""
        return self._end(d.BLOCK_END_KIND_PASSED, "passed")

    @property
    def ended(self) -> End:
        """It has ended, however; for `.when(...)`."""
        return self._end(d.BLOCK_END_KIND_ENDED, "ended")

    @property
    def status(self) -> BlockOutcome:
        """How it has ended, as text such as "SUCCEEDED", "FAILED", "SKIPPED" or "TIMED_OUT"."""
        return self._outcome("status")

    @property
    def error(self) -> BlockOutcome:
        """Its error, or why it was skipped: an object with `type` and `message`; null when there is none."""
        return self._outcome("error")

    @property
    def exit_code(self) -> BlockOutcome:
        """The exit code of a step's program, 0 after a success; null when it has none. Of steps alone."""
        return self._outcome("exit_code")

    @property
    def attempts(self) -> BlockOutcome:
        """How many attempts were begun. Of steps alone."""
        return self._outcome("attempts")


class Block(HasEnd):
    """A part that is one node of a graph, with a name in the run's paths."""

    # None: the workflow finds a name from `stem`.
    name: str | None
    # How long the block may take in all, and when it counts as late; 0 means without limit.
    timeout_ms: int = 0
    deadline_ms: int = 0
    # What the block holds from its start to its end.
    locks: tuple[Lock, ...] = ()
    # Policies that are values of the run, by the path of the field in a block of the definition.
    bound: Mapping[str, Any] = NONE_BOUND

    def __repr__(self) -> str:
        return self.name or self.stem

    @property
    def stem(self) -> str:
        """What the name is made from when the user gave none."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What errors call this block."""
        return f"{type(self).__name__.lower()} {self.name or self.stem!r}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Triggered(HasEnd):
    """A block with what it has in this place: its trigger rule, and whether its failure is settled there."""

    block: Block
    # Unspecified: the usual rule.
    rule: d.TriggerRule.ValueType = d.TRIGGER_RULE_UNSPECIFIED
    # Of the rule CONDITION.
    condition: Condition | None = None
    settles: bool = False
    source: Source

    def __repr__(self) -> str:
        return repr(self.block)

    def __getitem__(self, output: str) -> Reference:
        found: Reference = self.block[output]  # type: ignore[index]
        return found


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Watched(Part):
    """A block with hooks that start while it goes on. What comes after it does not wait for them."""

    block: Block | Triggered
    # Each with the rule by which it starts.
    hooks: tuple[tuple[Part, d.TriggerRule.ValueType], ...]
    source: Source

    def __repr__(self) -> str:
        return repr(self.block)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Group(Block):
    """A body as one block: a scope of its own for hooks and time-outs; `group` makes it.

    One that `group` made is always a block. One that hooks made is only a block when it is not the whole body of something.
    """

    body: Part
    # Only of groups that hooks made.
    failure_hooks: tuple[Part, ...] = ()
    final_hooks: tuple[Part, ...] = ()
    # Made by `group`.
    explicit: bool
    on_error: d.OnError.ValueType = d.ON_ERROR_UNSPECIFIED
    name: str | None = None
    timeout_ms: int = 0
    deadline_ms: int = 0
    locks: tuple[Lock, ...] = ()
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def __repr__(self) -> str:
        return f"group({self.body!r})" if self.explicit else repr(self.body)

    @property
    def stem(self) -> str:
        """The name in paths of a block that the user gave none."""
        return "group"


@dataclass(frozen=True, kw_only=True, eq=False)
class Each(Item):
    """The item of a foreach and the source of its items; `each` makes it."""

    # A value that gives a list, or a Space to search.
    items: Any
    max_concurrency: int
    failure: d.FailurePolicy | None
    early_stopping: d.EarlyStopping | None
    on_error: d.OnError.ValueType
    # Name of the foreach; None when it is made from `items`.
    block: str | None
    # Times of the foreach as a whole.
    timeout_ms: int
    deadline_ms: int
    bound: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str | int) -> Expr:
        axes = getattr(self.items, "axes", None)
        if axes is not None and key not in axes:
            raise WorkflowError(
                f"{self.written} has no axis {key!r}; it has {', '.join(sorted(axes))}", caller()
            )
        return super().__getitem__(key)

    def __rpow__(self, left: object) -> Any:
        raise WorkflowError(
            f"left of ** {self.written} stands a step or a body, not {_describe(left)}", caller()
        )

    def __pow__(self, right: object) -> Any:
        raise WorkflowError(
            "Python reads x ** a ** b from the right; write (x ** a) ** b", caller()
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Until:
    """The condition that ends a repeat; `until` and `while_` make it."""

    condition: Any
    # It must hold for another iteration to begin, in place of ending the repeat.
    holds: bool
    max_iterations: int
    exhausted: d.Exhausted.ValueType
    # Wait before the second iteration, its growth and its bound; 0 means none, and the bound's default.
    backoff_ms: int
    backoff_factor: float
    max_backoff_ms: int
    # Name of the repeat; None means the default.
    block: str | None
    # Times of the repeat as a whole.
    timeout_ms: int
    deadline_ms: int
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def __repr__(self) -> str:
        return "until(...)"

    def __rpow__(self, left: object) -> Any:
        raise WorkflowError(
            f"left of ** {'while_' if self.holds else 'until'}(...) stands a step or a body, not {_describe(left)}",
            caller(),
        )

    def __pow__(self, right: object) -> Any:
        raise WorkflowError(
            "Python reads x ** a ** b from the right; write (x ** a) ** b", caller()
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ForEach(Block):
    """A body that runs once for each item of a list."""

    each: Each
    body: Part
    name: str | None
    timeout_ms: int
    deadline_ms: int
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def __repr__(self) -> str:
        return f"{_bracketed(self.body, Sequence | Parallel)} ** {self.each.name}"

    @property
    def stem(self) -> str:
        """The name in paths of a block that the user gave none."""
        items = self.each.items
        named = getattr(items, "output", None) or getattr(items, "name", None)
        written = block_name(named) if isinstance(named, str) else ""
        return written or f"each-{block_name(self.each.name) or 'item'}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Repeat(Block):
    """A body that runs again until a condition holds."""

    until: Until
    body: Part
    name: str | None
    timeout_ms: int
    deadline_ms: int
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def __repr__(self) -> str:
        return f"{_bracketed(self.body, Sequence | Parallel)} ** until(...)"

    @property
    def stem(self) -> str:
        """The name in paths of a block that the user gave none."""
        return "cycle"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class When:
    """One case of a branch; `when` makes it."""

    condition: Any
    body: Part
    source: Source

    def __repr__(self) -> str:
        return f"when(..., {self.body!r})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Branch(Block):
    """The first body whose condition holds."""

    cases: tuple[When, ...]
    otherwise: Part | None = field(default=None)
    name: str | None
    timeout_ms: int = 0
    deadline_ms: int = 0
    bound: Mapping[str, Any] = field(default_factory=dict)
    source: Source

    def __repr__(self) -> str:
        return f"branch({', '.join(map(repr, self.cases[:_SHOWN]))})"

    @property
    def stem(self) -> str:
        """The name in paths of a block that the user gave none."""
        return "branch"


def over_each(each: Each, body: Part, source: Source) -> ForEach:
    """Make the foreach that runs `body` for each item."""
    return ForEach(
        each=each,
        body=body,
        name=each.block,
        timeout_ms=each.timeout_ms,
        deadline_ms=each.deadline_ms,
        bound=each.bound,
        source=source,
    )


def over_iterations(until: Until, body: Part, source: Source) -> Repeat:
    """Make the repeat that runs `body` until the condition holds."""
    return Repeat(
        until=until,
        body=body,
        name=until.block,
        timeout_ms=until.timeout_ms,
        deadline_ms=until.deadline_ms,
        bound=until.bound,
        source=source,
    )


def unwrapped(part: Part) -> Part:
    """`part`, without sequences and parallels of one."""
    while isinstance(part, Sequence | Parallel) and len(part.parts) == 1:
        part = part.parts[0]
    return part


def check_part(value: object, where: str, source: Source) -> Part:
    """`value`, when it can stand in a body.

    Raises:
        WorkflowError: it cannot.
    """
    if isinstance(value, Part):
        return value
    raise WorkflowError(f"{where} joins steps and blocks, not {_describe(value)}", source)


def _checked(parts: tuple[object, ...], verb: str, source: Source) -> tuple[Part, ...]:
    if not parts:
        raise WorkflowError(f"{verb}() is empty; give it at least one step or block", source)
    return tuple(check_part(part, verb, source) for part in parts)


def _with_hooks(
    part: Part, *, failure: tuple[Part, ...] = (), final: tuple[Part, ...] = (), source: Source
) -> Group:
    part = unwrapped(part)
    if not isinstance(part, Group):
        return Group(
            body=part, failure_hooks=failure, final_hooks=final, explicit=False, source=source
        )
    if part.explicit:
        return replace(
            part, body=_with_hooks(part.body, failure=failure, final=final, source=source)
        )
    return replace(
        part,
        failure_hooks=part.failure_hooks + failure,
        final_hooks=part.final_hooks + final,
        source=source,
    )


def _watched(
    part: Part,
    hooks: tuple[object, ...],
    verb: str,
    rule: d.TriggerRule.ValueType,
    source: Source,
) -> Watched:
    added = tuple((hook, rule) for hook in _checked(hooks, verb, source))
    if isinstance(part, Watched):
        return replace(part, hooks=part.hooks + added)
    block = _one_block(part, f"{verb}() belongs to one block: give it to a step", source)
    return Watched(block=block, hooks=added, source=source)


def _triggered(part: Part, rule: d.TriggerRule.ValueType) -> Triggered:
    source = caller()
    part = _one_block(
        part, "a rule of when to start belongs to one block: give it to the first step", source
    )
    if not isinstance(part, Triggered):
        return Triggered(block=part, rule=rule, source=source)
    if part.rule:
        _raise_two_rules(part, source)
    return replace(part, rule=rule, source=source)


def _one_block(part: Part, problem: str, source: Source) -> Block | Triggered:
    part = unwrapped(part)
    if not isinstance(part, Block | Triggered):
        raise WorkflowError(f"{problem}, or make one of them by group(...)", source)
    return part


def _raise_two_rules(part: Triggered, source: Source) -> NoReturn:
    raise WorkflowError(
        f"{part.block.label} has a rule of when to start already, from {part.source}", source
    )


def _spliced(parts: tuple[Part, ...], kind: type[Sequence | Parallel]) -> tuple[Part, ...]:
    """Flatten parts of the same kind, so that long chains do not nest."""
    return tuple(
        inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))
    )


def _joined(parts: tuple[Part, ...], sign: str, bracketed: type[Part] | None = None) -> str:
    shown = [_bracketed(part, bracketed) if bracketed else repr(part) for part in parts[:_SHOWN]]
    return sign.join([*shown, *(["..."] if len(parts) > _SHOWN else [])])


def _bracketed(part: Part, kinds: Any) -> str:
    return f"({part!r})" if isinstance(part, kinds) else repr(part)


def _describe(value: object) -> str:
    if isinstance(value, Value):
        return f"{value.written}, which is data (the order of steps is written with the steps themselves)"
    if callable(value):
        return f'the function {getattr(value, "__name__", value)}; make a step of it: steps.python("name", function)'
    if isinstance(value, list | tuple) and value and all(isinstance(each, Part) for each in value):
        return f"a {type(value).__name__} of them; write parallel(*steps) or sequence(*steps)"
    return repr(value)
