"""Values that are known only while a workflow runs: what users bind to the inputs of steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NoReturn, Protocol

from kaon.dsl import checks, constraints, names, types
from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import refuses_others
from kaon.dsl.source import Source, caller
from kaon_wire import canonical, value_types
from kaon_wire.cel import program as cel
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.program import EXPRESSION_CHARACTERS
from kaon_wire.cel.values import kind_of
from kaon_wire.definitions import kinds
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d


class Value:
    """A value that is known only while the workflow runs."""

    @property
    def written(self) -> str:
        """What errors call it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.written

    def _no_text(self, *_: object) -> NoReturn:
        raise WorkflowError(
            f"{self.written} has no value while the workflow is built, so no text can hold it; compute the text as "
            """expr("'rows: ' + string(x)", x=...), or write ${name} in the words of a shell step""",
            caller(),
        )

    __str__ = __format__ = _no_text

    def _unknown(self, *_: object) -> NoReturn:
        raise WorkflowError(
            f"{self.written} has no value while the workflow is built; write the condition or computation as "
            'expr("x > 3", x=...), and loop with for_each',
            caller(),
        )

    def __getitem__(self, key: str | int) -> Expr:
        """Select the element under a key or at a position, at run time."""
        source = caller()
        if type(key) not in (str, int) or (isinstance(key, int) and key < 0):
            raise WorkflowError(
                f"{self.written}[{key!r}]: a key is text or a position from 0", source
            )
        return Expr(cel=f"value[{canonical.dumps(key)}]", variables={"value": self}, source=source)

    __bool__ = __iter__ = __lt__ = __le__ = __gt__ = __ge__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __truediv__ = _unknown


class HasOutputs(Protocol):
    """A step, gate or sub-workflow: a block that gives outputs."""

    @property
    def name(self) -> str:
        """The block's name in paths."""

    @property
    def noun(self) -> str:
        """What errors call it."""

    @property
    def outputs(self) -> Mapping[str, d.ValueType.ValueType]:
        """The types of its outputs by name."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Reference(Value):
    """An output of a step, gate or sub-workflow: `step["output"]`.

    Outside of a foreach it stands for the list of its cells' values. Outside of a repeat it stands for the value of the last
    iteration. It is null when the step's branch was not taken.
    """

    step: HasOutputs
    output: str
    source: Source

    @property
    def type(self) -> d.ValueType.ValueType:
        """The type that it is declared with."""
        return self.step.outputs[self.output]

    @property
    def written(self) -> str:
        """What errors call it."""
        return f'{self.step.name}["{self.output}"]'


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Item(Value):
    """The item of a foreach; `each` makes it."""

    name: str
    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return f"item {self.name!r}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Parameter(Value):
    """A value that the submitter of a run may set; `param` makes it."""

    name: str
    # None: only a mention of a parameter that the workflow declares.
    type: d.ValueType.ValueType | None
    # Canonical JSON; None when the submitter must set the parameter.
    default_json: str | None
    description: str
    # CEL over `value`; empty when every value of the type is good.
    check: str = ""
    # Canonical JSON of the only values allowed; empty means all.
    choices_json: tuple[str, ...] = ()
    # What stands inside of a list or map; None for anything.
    of: d.Shape | None = None
    # Null is a value, too.
    optional: bool = False
    # In place of a default: computed when a run is submitted.
    computed: Value | None = None
    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return f"parameter {self.name!r}"

    @property
    def shape(self) -> d.Shape:
        """Its type, with what is inside of it."""
        return d.Shape(
            type=self.type or d.VALUE_TYPE_ANY,
            of=self.of,
            optional=self.optional,
            choices_json=self.choices_json,
        )

    @property
    def required(self) -> bool:
        """Whether each run must be given a value."""
        return self.default_json is None and self.computed is None and not self.optional


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Last(Value):
    """An output of the previous iteration of the enclosing repeat; `last` makes it."""

    # A name pair where the step is written further down.
    output: Reference | tuple[str, str]
    fallback: Any
    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        output = (
            self.output.written
            if isinstance(self.output, Reference)
            else '{}["{}"]'.format(*self.output)
        )
        return f"last({output})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Expr(Value):
    """A CEL expression over named values; `expr` makes it."""

    cel: str
    variables: dict[str, Any]
    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return f"expr({self.cel!r})"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Outcome(Value):
    """The outcome of a body, for its hooks; `outcome` makes it."""

    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return "outcome()"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunInfo(Value):
    """The identity of the run; `run_info` makes it."""

    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return "run_info()"


def declared_name(value: object) -> str:
    """Return the name with which a parameter, an item or an output is declared; empty for every other value."""
    if isinstance(value, Parameter | Item):
        return value.name
    return value.output if isinstance(value, Reference) else ""


class HasOutcome(Protocol):
    """A block, of whatever kind."""

    @property
    def label(self) -> str:
        """What errors call it."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BlockOutcome(Value):
    """How a block has ended: `step.status`, `step.exit_code`, `step.attempts`, `step.error`."""

    block: HasOutcome
    # "status", "exit_code", "attempts" or "error".
    field: str
    source: Source

    @property
    def written(self) -> str:
        """What errors call it."""
        return f"the {self.field} of {self.block.label}"


_REQUIRED = object()


@refuses_others
def param(
    name: str,
    kind: Any = None,
    /,
    *,
    default: Any = _REQUIRED,
    description: str = "",
    choices: Iterable[Any] = (),
    check: str = "",
) -> Parameter:
    """Declare a parameter of the workflow.

    With a kind (int, str, list, ...) or a default it declares the parameter; with neither it mentions one declared elsewhere.
    Without a default the submitter must set it. An artifact (`param("ratings", "dataset")`) is a file or directory that the
    submitter gives: `-p ratings=@ratings.csv`, or a `Path`.

        min_ratings = param("min_ratings", int, default=20, description="users with fewer are left out")
        steps.python("wrangle", wrangle, min_ratings=min_ratings)

    Args:
        name: letters, digits and underscores.
        kind: a Python type (int, str, datetime, timedelta, list[int], dict[str, float], int | None, Literal["a", "b"], an Enum
            class, ...) or a type's name, also that of an artifact ("dataset", "list[datetime]", "date?").
        default: a value of the type; or one that is computed when a run is submitted, from other parameters and run_info():
            `expr("start + duration('1d')", start=start)`.
        description: for people.
        choices: the only values allowed; none means all.
        check: a CEL expression over `value` that must hold, such as "value > 0 && value <= 1".

    Raises:
        WorkflowError: the name or type is not good, or the default is not allowed.
    """
    source = caller()
    names.check_value_name(name, "a parameter", source)
    checks.text(description, f"parameter {name!r}: description", source)
    listed = tuple(choices)
    if kind is None and isinstance(default, Value):
        raise WorkflowError(f"parameter {name!r} with a computed default needs a type", source)
    if kind is None and default is not _REQUIRED:
        kind = "any" if isinstance(default, Enum) else types.name_of(types.type_of(default))
    if kind is None:
        if check or listed:
            raise WorkflowError(f"parameter {name!r} with choices or a check needs a type", source)
        return Parameter(
            name=name, type=None, default_json=None, description=description, source=source
        )
    shape = _shape(name, kind, listed, source)
    if types.is_artifact(shape.type) and (default is not _REQUIRED or check or listed):
        raise WorkflowError(
            f"parameter {name!r}: an artifact is given to each run: it has no default, no choices and no check",
            source,
        )
    parameter = Parameter(
        name=name,
        type=shape.type,
        computed=default if isinstance(default, Value) else None,
        default_json=None
        if default is _REQUIRED or isinstance(default, Value)
        else _fitting(name, shape, default, "its default", source),
        description=description,
        check=_check_cel(name, shape, check, source),
        choices_json=tuple(shape.choices_json),
        of=shape.of if shape.HasField("of") else None,
        optional=shape.optional,
        source=source,
    )
    if parameter.default_json is not None:
        value = canonical.loads(parameter.default_json)
        problem = constraints.problem(name, value, shape, parameter.check)
        if problem is not None:
            raise WorkflowError(f"the default of {problem}", source)
    return parameter


def _shape(name: str, kind: object, choices: tuple[Any, ...], source: Source) -> d.Shape:
    shape = types.shape(kind)
    if shape is None:
        raise WorkflowError(
            f'parameter {name!r}: {kind!r} is no type: use one of {types.ALL_NAMES}, with what is inside and "?" if it may be '
            'null, such as "list[datetime]?", or Python\'s list[int], dict[str, float], int | None, Literal["a", "b"]',
            source,
        )
    if choices and shape.choices_json:
        raise WorkflowError(f"parameter {name!r} has its choices by its type already", source)
    plain = d.Shape(type=shape.type, of=shape.of if shape.HasField("of") else None)
    given = list(choices) or [canonical.loads(each) for each in shape.choices_json]
    del shape.choices_json[:]
    shape.choices_json.extend(_fitting(name, plain, each, "a choice", source) for each in given)
    return shape


def outcome() -> Outcome:
    """Refer to the outcome of the body, in `finally_` and `on_failure`: {"status": "FAILED", "error": {...} or null}.

    `outcome()["status"]` is one part of it.
    """
    return Outcome(source=caller())


def run_info() -> RunInfo:
    """Refer to what the run is, as in `run_info()["id"]`.

    {"id", "workflow", "version", "tenant", "submit_time", "origin", "scheduled_time", "previous_success"}; the time is null for
    runs that no schedule or backfill made. The last is the run of the same workflow that had succeeded last when this one was
    submitted, {"id", "end_time", "scheduled_time"}, or null.
    """
    return RunInfo(source=caller())


def last(output: Reference | str, default: Any = None) -> Last:
    """Refer to the output of a step in the previous iteration of the enclosing repeat; `default` in the first iteration.

    A step that is written further down is named: `last("validate-model.score", default=0.0)`.

    Raises:
        WorkflowError: `output` is neither `step["output"]` nor "step.output".
    """
    source = caller()
    if isinstance(output, str):
        step, dot, name = output.rpartition(".")
        if not (step and dot and name):
            raise WorkflowError(
                f'last({output!r}): write last("step.output") or last(step["output"])', source
            )
        return Last(output=(step, name), fallback=default, source=source)
    if not isinstance(output, Reference):
        raise WorkflowError(
            f'last() takes the output of a step, such as step["score"], not {output!r}', source
        )
    return Last(output=output, fallback=default, source=source)


def expr(text: str, /, **variables: Any) -> Expr:
    """Make a CEL expression over named values: `expr("rmse < limit", rmse=validate["rmse"], limit=0.95)`.

    Raises:
        WorkflowError: the expression is not CEL, or its names and the given ones differ.
    """
    source = caller()
    checks.text(text, "the expression of expr", source)
    if len(text) > EXPRESSION_CHARACTERS:
        raise WorkflowError(
            f"expr({text[:80]!r}...) has {len(text)} characters; use at most {EXPRESSION_CHARACTERS}",
            source,
        )
    try:
        used = cel.program(text).variables
    except CelError as error:
        raise WorkflowError(f"expr({text!r}) is not a CEL expression: {error}", source) from None
    missing = sorted(used - set(variables))
    if missing:
        raise WorkflowError(
            f"expr({text!r}) uses {', '.join(missing)}; give each as an argument, {missing[0]}=...: "
            f"a parameter, an item or an output of a step, each by a name of its own",
            source,
        )
    unused = sorted(set(variables) - used)
    if unused:
        raise WorkflowError(f"expr({text!r}) does not use {', '.join(unused)}", source)
    if wrong := cel.problem(text, {name: _kind(each) for name, each in variables.items()}):
        raise WorkflowError(f"expr: {wrong}", source)
    return Expr(cel=text, variables=variables, source=source)


def _kind(value: object) -> str:
    """Return the kind of a value for expressions, as far as it is known without its workflow."""
    if isinstance(value, Parameter) and value.type is not None:
        return kinds.ANY if value.optional else kinds.KINDS[value.type]
    if value is None or isinstance(value, Value):
        return kinds.ANY
    return kind_of(value)


def coalesce(*values: Any) -> Expr:
    """Take the first value that is not null: the output of the way of a branch that was taken, or a value for none.

        score = coalesce(quick["score"], thorough["score"], 0.0)

    Raises:
        WorkflowError: there are fewer than two values.
    """
    source = caller()
    if len(values) < 2:
        raise WorkflowError("coalesce() takes two values or more", source)
    names = [f"v{index}" for index in range(len(values))]
    return Expr(
        cel=f"coalesce({', '.join(names)})",
        variables=dict(zip(names, values, strict=True)),
        source=source,
    )


def literal(value: object, what: str, source: Source) -> str:
    """Canonical JSON of a value.

    Raises:
        WorkflowError: the value is not JSON.
    """
    try:
        return canonical.dumps(value)
    except InvalidValue as error:
        raise WorkflowError(
            f"{what}: {error}; a step receives JSON values and outputs of other steps", source
        ) from None


def _fitting(name: str, shape: d.Shape, value: object, what: str, source: Source) -> str:
    """Canonical JSON of a default or choice of a parameter."""
    try:
        plain = types.as_json(value)
    except InvalidValue as error:
        raise WorkflowError(f"parameter {name!r}: {what}: {error}", source) from None
    text = literal(plain, f"{what.rsplit(maxsplit=1)[-1]} of parameter {name!r}", source)
    value = canonical.loads(text)
    if types.fault(value, shape):
        raise WorkflowError(
            f"parameter {name!r} is declared {value_types.name_of(shape)}, but {what} is {text[:80]}: "
            f"it {types.fault(value, shape)}",
            source,
        )
    return canonical.dumps(value_types.declared(value, shape))


def _check_cel(name: str, shape: d.Shape, check: object, source: Source) -> str:
    if not isinstance(check, str):
        raise WorkflowError(
            f'parameter {name!r}: check is a CEL expression such as "value > 0", not {check!r}',
            source,
        )
    checks.text(check, f"parameter {name!r}: check", source)
    if len(check) > EXPRESSION_CHARACTERS:
        raise WorkflowError(
            f"parameter {name!r}: check has {len(check)} characters; use at most {EXPRESSION_CHARACTERS}",
            source,
        )
    if check and (problem := constraints.syntax_problem(check, kinds.KINDS[shape.type])):
        raise WorkflowError(f"parameter {name!r}: check {check!r} {problem}", source)
    return check
