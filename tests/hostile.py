"""Hostile messages, made from protobuf descriptors, for tests of every edge.

Whoever draws brings a `random.Random`: the simulation one of its seed, a test with Hypothesis one that Hypothesis plays
(`st.randoms(use_true_random=False)`), so that it can make smaller what it has found.

Messages of nothing but chance are refused at the first check and prove little: most come from something valid, in which one to
three fields, found by walking the descriptor, are set to extremes.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kaon_wire import bounds
from kaonapi.workflow.v1 import definition_pb2 as d

M = TypeVar("M", bound=Message)
# Texts that a field of this name may well have: ids, names and paths of what is there.
Known = Mapping[str, Sequence[str]]

# How often a hunt tries what the suite tries once.
TIMES = int(os.environ.get("KAON_HUNT", "1"))
# An empty database for a hunt, as an SQLAlchemy URL; empty: SQLite.
DATABASE = os.environ.get("KAON_HUNT_DATABASE", "")
# What `hostile_definition` may call as a sub-workflow.
CHILD = "child"

_INTEGERS: Mapping[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
_REALS = (
    0.0,
    -0.0,
    1.0,
    0.5,
    2.0,
    -1.0,
    1e-9,
    5e-324,
    100.0,
    1e9,
    1e308,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
)
TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "a",
    "A",
    "-",
    "a/b",
    "a.b",
    "..",
    "../../etc/passwd",
    "/",
    "a[0]",
    "a#1",
    "a[x]/b#2/c",
    "a%2Fb",
    "\n",
    "\r\n\t",
    "\x1b[31m",
    "\u202eabc",
    "\u05e9\u05dc\u05d5\u05dd",
    "\ufeff",
    "\u2028",
    "\ufffe",
    "e\u0301",
    "\U0001f600",
    "'; drop table runs; --",
    "{}",
    "${x}",
    '"',
    "\\",
    "*",
    "%s %d {0}",
    "None",
    "null",
    "-1",
    "9" * 30,
    "sha256:" + "0" * 64,
    "2026-02-30",
    "9999-12-31",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-01-01T00:00:00+23:59",
    "Europe",
    "* * * * *",
    "0 0 30 2 *",
    "x" * 63,
    "x" * 64,
    "x" * 201,
    "x" * 4_096,
    "x" * 4_097,
    "\u00e4" * 40_000,
    # Long and not to be compressed: too long for any database's index.
    "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(4_000)),
)
JSONS = (
    "null",
    "true",
    "0",
    "-1",
    "1.5",
    "1e308",
    "1e400",
    "NaN",
    "-Infinity",
    str(2**31),
    str(2**62),
    str(2**63),
    "9" * 400,
    "9" * 5_000,
    '""',
    '"a"',
    '"a/b"',
    '"2026-01-01"',
    '"2026-01-01T00:00:00Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59.999999-12:00"',
    r'"\u0000"',
    r'"\ud800"',
    r'"\ud83d\ude00"',
    '"\u202e"',
    "[]",
    "[1,1]",
    '[1,"1",1.0,true,null,[],{}]',
    '["","/","..","a/b","a[0]","a#1","\u202e",".","0"]',
    json.dumps(list(range(60))),
    json.dumps(["y" * 1_000] * 5),
    json.dumps({"name": "x", "a": 1}),
    "[" * 100 + "]" * 100,
    "[" * 101 + "]" * 101,
    "[" * 5_000 + "]" * 5_000,
    "{}",
    '{"":0}',
    '{"a":{"b":[]}}',
    '{"artifact":{}}',
    '{"artifact":null}',
    '{"artifact":{"uri":1,"digest":[]}}',
    '{"artifact":{"uri":"file:///etc/passwd","digest":"/etc/passwd"}}',
    '{"artifact":{"uri":"file:///x","digest":"sha256:'
    + "0" * 64
    + '","type":"file","size_bytes":-1}}',
    json.dumps("z" * 70_000),
    "{",
    "",
    " 1 ",
)
EXPRESSIONS = (
    "x",
    "",
    "1",
    "true",
    "null",
    "x[0]",
    "x.y.z",
    "x / 0",
    "x % 0",
    "1 / 0",
    "-9223372036854775808",
    "9223372036854775807 + 1",
    "18446744073709551615u + 1u",
    "1e400",
    "0.0 / 0.0",
    "double('nan')",
    "b'\\xff'",
    "duration('87660000h')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1h')",
    "timestamp('0001-01-01T00:00:00Z')",
    "[x, x]",
    "{'a': x}",
    "{1: 2}",
    "{true: x}",
    "type(x)",
    "x.map(a, a)",
    "[1, 2, 3].map(a, [1, 2, 3].map(b, a * b))",
    "'\\ud800'",
    "'\\u0000'",
    "'a'.matches('(a*)*b')",
    "'a'.matches('[')",
    "has(x.y)",
    "size(x)",
    "string(x) + string(x)",
    "int(x)",
    "value",
    "value > 0",
    "time",
    "x ? 1 : 2",
    "(" * 60 + "x" + ")" * 60,
    "(" * 400 + "x" + ")" * 400,
    "!" * 300 + "x",
    " + ".join(["x"] * 500),
    "x" * 5_000,
    "\u202ex",
    "`",
    "x.exists(a, a == a)",
    "optional.none()",
)
# Text fields that hold an expression: of CEL, or over labels, which looks much the same.
_EXPRESSIONS = frozenset({"cel", "constraint_cel", "params_cel", "labels"})
_LABELS = ("gpu", "gpu=yes", "!gpu", "a && b", "a || (b", "zone in (a, b)", "cpu>2")


def effort(examples: int, *, smaller: bool = True) -> Any:
    """How much Hypothesis tries: the same examples every time; a hunt (KAON_HUNT=50) tries others, and so many times more.

    Args:
        examples: in the suite.
        smaller: what is found is made smaller; not where an example depends on those before it.
    """
    from hypothesis import HealthCheck, Phase, settings

    phases = [Phase.explicit, Phase.generate, *([Phase.target, Phase.shrink] if smaller else [])]
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


# --- any message ----------------------------------------------------------------------------------------------------


def message(chance: random.Random, kind: type[M], known: Known | None = None, depth: int = 3) -> M:
    """A message with anything in any of its fields; messages are in one another as deep as `depth`."""
    made = kind()
    for group in _groups(made):
        field = chance.choice(group)
        if chance.random() < 0.6 and (field.message_type is None or depth > 0):
            _set(chance, made, field, made, known or {}, depth - 1)
    return made


def _groups(made: Message) -> list[list[FieldDescriptor]]:
    """The fields of a message; those of which only one can be set are together."""
    groups: dict[str, list[FieldDescriptor]] = defaultdict(list)
    for field in made.DESCRIPTOR.fields:
        groups[
            field.name if field.containing_oneof is None else f"oneof {field.containing_oneof.name}"
        ].append(field)
    return list(groups.values())


def spoil(
    chance: random.Random, whole: Message, fields: int, known: Known | None = None
) -> list[str]:
    """Sets so many fields of a message, or of what is in it, to extremes. Returns their full names."""
    spoiled = []
    for _ in range(fields):
        # Each kind of message as often as any other, however many there are of it.
        kinds: dict[str, list[Message]] = defaultdict(list)
        for part in parts(whole):
            kinds[part.DESCRIPTOR.full_name].append(part)
        where = chance.choice(kinds[chance.choice(sorted(kinds))])
        field = chance.choice(list(where.DESCRIPTOR.fields) or [None])
        if field is not None:
            _set(chance, where, field, whole, known or {}, 2)
            spoiled.append(field.full_name)
    return spoiled


def parts(whole: Message) -> Iterator[Message]:
    """A message, and every one that is in it."""
    yield whole
    for field, value in whole.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield from parts(value)
        elif not _is_map(field):
            for each in value:
                yield from parts(each)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            # The order of a map's entries is the library's own affair; what is drawn must not depend on it.
            for key in sorted(value):
                yield from parts(value[key])


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _set(
    chance: random.Random,
    where: Message,
    field: FieldDescriptor,
    whole: Message,
    known: Known,
    depth: int,
) -> None:
    if _is_map(field):
        _set_entry(chance, where, field, whole, known, depth)
    elif field.is_repeated:
        _set_list(chance, where, field, whole, known, depth)
    elif field.message_type is not None:
        _set_message(chance, where, field, whole, known, depth)
    else:
        setattr(where, field.name, _value(chance, field, field.name, whole, known))


def _set_entry(
    chance: random.Random,
    where: Message,
    field: FieldDescriptor,
    whole: Message,
    known: Known,
    depth: int,
) -> None:
    assert field.message_type is not None
    entries = getattr(where, field.name)
    keys, values = (
        field.message_type.fields_by_name["key"],
        field.message_type.fields_by_name["value"],
    )
    if entries and chance.random() < 0.6:
        key = chance.choice(sorted(entries))
    else:
        key = _value(chance, keys, field.name + ".key", whole, known)
    if key in entries and chance.random() < 0.2:
        del entries[key]
    elif values.message_type is None:
        entries[key] = _value(chance, values, field.name, whole, known)
    else:
        entries[key].CopyFrom(_other(chance, values, whole, known, depth))


def _set_list(
    chance: random.Random,
    where: Message,
    field: FieldDescriptor,
    whole: Message,
    known: Known,
    depth: int,
) -> None:
    items = getattr(where, field.name)
    what = chance.randint(0, 3)
    if what == 0 and items:
        del items[chance.randrange(len(items))]
    elif what == 1 and items:
        again = items[chance.randrange(len(items))]
        items.extend([_copy(again) if isinstance(again, Message) else again])
    elif field.message_type is not None:
        items.extend([_other(chance, field, whole, known, depth)])
    else:
        items.append(_value(chance, field, field.name, whole, known))


def _set_message(
    chance: random.Random,
    where: Message,
    field: FieldDescriptor,
    whole: Message,
    known: Known,
    depth: int,
) -> None:
    what = chance.randint(0, 5)
    if what == 0:
        where.ClearField(field.name)
    elif what == 1:
        getattr(where, field.name).SetInParent()
    else:
        other = _other(chance, field, whole, known, depth)
        getattr(where, field.name).CopyFrom(other)


def _other(
    chance: random.Random, field: FieldDescriptor, whole: Message, known: Known, depth: int
) -> Message:
    """A message of the field's kind: often one that stands elsewhere in the whole."""
    assert field.message_type is not None
    kind: Any = field.message_type._concrete_class
    same = [
        part for part in parts(whole) if part.DESCRIPTOR.full_name == field.message_type.full_name
    ]
    if same and chance.random() < 0.6:
        return _copy(chance.choice(same))
    return message(chance, kind, known, depth)


def _copy(one: M) -> M:
    other = type(one)()
    other.CopyFrom(one)
    return other


def _value(
    chance: random.Random, field: FieldDescriptor, name: str, whole: Message, known: Known
) -> Any:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        assert field.enum_type is not None
        declared = list(field.enum_type.values_by_number)
        return chance.choice([*declared, *declared, *declared, 77, -1, 2**31 - 1])
    if kind in _INTEGERS:
        return chance.choice(_integers(field))
    if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return chance.choice(_REALS)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    text = _text(chance, name, whole, known)
    return text.encode() + b"\xff" if field.type == FieldDescriptor.TYPE_BYTES else text


def _integers(field: FieldDescriptor) -> list[int]:
    """Extremes: of the type, of the field's bounds, and just beyond both."""
    low, high = _INTEGERS[field.cpp_type]
    bound = bounds.range_of(field)
    near = (
        []
        if bound is None
        else [bound.low, bound.high, bound.high - 1, bound.high, bound.low - 1, bound.high + 1]
    )
    values = [*near, 0, 1, 2, 7, -1, low, high, 2**31 - 1, 2**31, 2**53 + 1, 2**62]
    return [value for value in values if low <= value <= high]


def _text(chance: random.Random, name: str, whole: Message, known: Known) -> str:
    if known.get(name) and chance.random() < 0.7:
        return chance.choice(known[name])
    if name.endswith("_json"):
        return chance.choice(JSONS)
    if name in _EXPRESSIONS and chance.random() < 0.8:
        return chance.choice(_LABELS if name == "labels" else EXPRESSIONS)
    if chance.random() < 0.4:
        # What is a name here may well be one there.
        names = sorted({text for part in parts(whole) for text in _texts(part)})
        if names:
            return chance.choice(names)
    return chance.choice(TEXTS)


def _texts(part: Message) -> Iterator[str]:
    for field, value in part.ListFields():
        if _is_map(field):
            yield from (key for key in value if isinstance(key, str))
        elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            yield value


# --- definitions ----------------------------------------------------------------------------------------------------


def hostile_definition(
    chance: random.Random, name: str = "hostile"
) -> tuple[d.WorkflowDefinition, list[str]]:
    """A definition that is valid but for up to three of its fields, which are extreme, and their names."""
    shape = chance.choice(SHAPES)
    definition = d.WorkflowDefinition(name=name, body=shape())
    definition.parameters.extend(
        [
            d.Parameter(
                name="n", type=d.VALUE_TYPE_INT, default_json="1", constraint_cel="value > 0"
            ),
            d.Parameter(
                name="size",
                type=d.VALUE_TYPE_STRING,
                default_json='"s"',
                choices_json=['"s"', '"l"'],
            ),
        ]
    )
    first = next(block.name for block in definition.body.blocks)
    if definition.body.blocks[0].HasField("step"):
        definition.outputs["result"].CopyFrom(d.Output(type=d.VALUE_TYPE_ANY, value=_output(first)))
    return definition, spoil(chance, definition, chance.choice((1, 1, 2, 3)))


def child_definition() -> d.WorkflowDefinition:
    """What sub-workflows run."""
    definition = d.WorkflowDefinition(name=CHILD, body=_chain(_step("inner")))
    definition.parameters.append(d.Parameter(name="p", type=d.VALUE_TYPE_ANY, default_json="null"))
    definition.outputs["result"].CopyFrom(d.Output(type=d.VALUE_TYPE_ANY, value=_output("inner")))
    return definition


def _literal(value: object) -> d.Binding:
    return d.Binding(literal_json=json.dumps(value))


def _output(step: str, output: str = "out") -> d.Binding:
    return d.Binding(output=d.OutputReference(step=step, output=output))


def _cel(cel: str, **variables: d.Binding) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=cel, variables=variables))


def _step(name: str, **fields: Any) -> d.Block:
    fields.setdefault("outputs", {"out": d.VALUE_TYPE_ANY})
    return d.Block(name=name, step=d.Step(type="python", **fields))


def _chain(*blocks: d.Block) -> d.Graph:
    edges = [d.Edge(source=a.name, target=b.name) for a, b in itertools.pairwise(blocks)]
    return d.Graph(blocks=blocks, edges=edges)


def _inputs() -> d.Graph:
    inputs = {
        "a": _output("a"),
        "n": d.Binding(parameter="n"),
        "l": d.Binding(list=d.BindingList(bindings=[_literal(1), _output("a")])),
        "e": _cel("string(x) + 'b'", x=_output("a")),
        "r": d.Binding(run_info=d.RunInfo()),
    }
    last = _step("c")
    last.trigger = d.TRIGGER_RULE_ALL_DONE
    return _chain(_step("a"), _step("b", inputs=inputs), last)


def _settings() -> d.Graph:
    retry = d.RetryPolicy(
        max_attempts=2,
        backoff_ms=10,
        backoff_factor=2.0,
        max_backoff_ms=1_000,
        jitter=0.5,
        rules=[d.RetryRule(error_type="ValueError", max_attempts=3, backoff_ms=5)],
    )
    wanted = d.Resources(slots=1, cpu_milli=100, memory_bytes=1 << 20)
    one = _step(
        "a",
        retry=retry,
        resources=wanted,
        timeout_ms=60_000,
        priority=3,
        tags=["gold"],
        memo=d.Memo(enabled=True, salt="s", max_age_ms=1_000),
        config_json='{"a":1}',
    )
    two = _step("b", exclusive=True, retry=retry, isolation=d.ISOLATION_PROCESS)
    return d.Graph(blocks=[one, two])


def _items() -> d.Graph:
    body = _chain(_step("b", inputs={"i": d.Binding(item="i")}))
    each = d.ForEach(item="i", items=_literal([1, 2, 3]), body=body, max_concurrency=2)
    each.failure.count = 1
    return _chain(
        _step("a"), d.Block(name="each", for_each=each), _step("z", inputs={"all": _output("b")})
    )


def _grid() -> d.Graph:
    each = d.ForEach(item="i", body=_chain(_step("b", inputs={"i": d.Binding(item="i")})))
    each.sweep.grid.axes["x"].CopyFrom(_literal([1, 2]))
    each.sweep.grid.axes["y"].CopyFrom(_literal(["a", "b"]))
    each.early_stopping.metric = "loss"
    each.early_stopping.median.min_cells = 1
    each.failure.percent = 50.0
    return _chain(d.Block(name="each", for_each=each))


def _sample() -> d.Graph:
    each = d.ForEach(item="i", body=_chain(_step("b", inputs={"i": d.Binding(item="i")})))
    each.sweep.random.count, each.sweep.random.seed = 3, 7
    axes = each.sweep.random.axes
    axes["u"].uniform.CopyFrom(d.Range(low=0, high=1))
    axes["g"].log_uniform.CopyFrom(d.Range(low=0.001, high=1))
    axes["k"].integer.CopyFrom(d.Range(low=1, high=9))
    axes["c"].choice.CopyFrom(_literal(["a", "b"]))
    each.early_stopping.metric, each.early_stopping.goal = "loss", d.GOAL_MAXIMIZE
    each.early_stopping.halving.eta = 2
    return _chain(d.Block(name="each", for_each=each))


def _passes() -> d.Graph:
    before = d.Binding(
        last=d.LastReference(output=d.OutputReference(step="b", output="out"), fallback=_literal(0))
    )
    body = _chain(
        _step("b", inputs={"before": before}), _step("done", outputs={"ok": d.VALUE_TYPE_BOOL})
    )
    again = d.Repeat(
        body=body, until=_output("done", "ok"), max_iterations=3, exhausted=d.EXHAUSTED_ACCEPT
    )
    again.backoff_ms, again.backoff_factor, again.max_backoff_ms = 10, 2.0, 1_000
    return _chain(d.Block(name="again", repeat=again), _step("z", inputs={"b": _output("b")}))


def _ways() -> d.Graph:
    cases = [
        d.Case(condition=_cel("size(string(x)) > 100", x=_output("a")), body=_chain(_step("b"))),
        d.Case(condition=_literal(True), body=_chain(_step("c"))),
    ]
    way = d.Block(name="way", branch=d.Branch(cases=cases, otherwise=_chain(_step("e"))))
    return _chain(_step("a"), way, _step("z", inputs={"c": _output("c")}))


def _hooks() -> d.Graph:
    failed, last = _step("failed", inputs={"how": d.Binding(outcome=d.Outcome())}), _step("last")
    failed.phase, last.phase = d.PHASE_ON_FAILURE, d.PHASE_FINALLY
    inner = d.Graph(blocks=[_step("b"), failed, last])
    group = d.Block(name="group", group=d.Group(body=inner), timeout_ms=60_000, deadline_ms=90_000)
    end = _step("end", inputs={"how": d.Binding(outcome=d.Outcome())})
    end.phase = d.PHASE_FINALLY
    return d.Graph(blocks=[group, end])


def _child() -> d.Graph:
    child = d.SubWorkflow(
        workflow=CHILD, params={"p": _output("a")}, outputs={"result": d.VALUE_TYPE_ANY}
    )
    called = d.Block(name="call", sub_workflow=child)
    return _chain(_step("a"), called, _step("z", inputs={"r": _output("call", "result")}))


def _gates() -> d.Graph:
    ask = d.Gate(approval=d.Approval(roles=["lead"], message="?"), timeout_ms=2_000)
    ask.on_timeout, ask.default_json = d.GATE_TIMEOUT_DEFAULT, "true"
    go = d.Gate(signal=d.SignalGate(name="go"), timeout_ms=2_000, on_timeout=d.GATE_TIMEOUT_SKIP)
    blocks = [
        d.Block(name="ask", gate=ask),
        d.Block(name="go", gate=go),
        d.Block(name="after", gate=d.Gate(timer=d.TimerGate(after_ms=_literal(5)))),
        d.Block(name="at", gate=d.Gate(timer=d.TimerGate(at=_literal("2026-01-01T00:00:00Z")))),
    ]
    return d.Graph(blocks=[*blocks, _step("z")], edges=[d.Edge(source="ask", target="z")])


def _nested() -> d.Graph:
    deepest = d.Repeat(
        body=_chain(_step("b"), _step("done")), until=_literal(True), max_iterations=2
    )
    each = d.ForEach(
        item="i", items=_literal(["x", "y"]), body=_chain(d.Block(name="again", repeat=deepest))
    )
    case = d.Case(condition=_literal(True), body=_chain(d.Block(name="each", for_each=each)))
    way = d.Block(name="way", branch=d.Branch(cases=[case]))
    return _chain(
        d.Block(name="group", group=d.Group(body=_chain(way))),
        _step("z", inputs={"b": _output("b")}),
    )


def _long() -> d.Graph:
    """Foreachs within one another, with names as long as they may be."""
    body = _chain(_step("s" * 63))
    for level in range(9):
        items = ["\U0001f600" * 80] if level else ["\U0001f600" * 80, "a"]
        each = d.ForEach(item=f"i{level}", items=_literal(items), body=body)
        body = _chain(d.Block(name=f"f{level}".ljust(63, "x"), for_each=each))
    return body


def _wide() -> d.Graph:
    """Inputs and items that are large together, and not each for itself."""
    cel = "x + x + x + x"
    big = _cel(cel, x=_literal("\u00e4" * 7_000))
    each = d.ForEach(item="i", items=d.Binding(list=d.BindingList(bindings=[big, big])))
    each.body.CopyFrom(
        _chain(_step("b", inputs={f"x{number}": d.Binding(item="i") for number in range(20)}))
    )
    return _chain(_step("a"), d.Block(name="each", for_each=each))


SHAPES: Sequence[Callable[[], d.Graph]] = (
    _inputs,
    _settings,
    _items,
    _grid,
    _sample,
    _passes,
    _ways,
    _hooks,
    _child,
    _gates,
    _nested,
    _long,
    _wide,
)
