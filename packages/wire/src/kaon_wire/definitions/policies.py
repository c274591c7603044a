"""Policies that a block may get only when it begins: which they are, the values that they take, and the fields that hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kaon_wire import bounds, canonical
from kaon_wire.definitions.limits import DEFAULT, DefinitionLimits
from kaon_wire.definitions.names import NAME, NAME_RULE, POOL_NAME, POOL_NAME_RULE
from kaon_wire.errors import InvalidValue
from kaon_wire.quantities import milliseconds, size_in_bytes
from kaonapi.workflow.v1 import definition_pb2 as d

_NUMBERS = frozenset({"int", "double"})
_TEXT = frozenset({"string"})
_PARTITIONS = _NUMBERS | _TEXT | {"bool", "timestamp"}
_CONFIG = "step.config."
_CUSTOM = "step.resources.custom."
_DATASETS = "step.datasets."
# The failures of cells that a foreach tolerates: a number, or a percentage as text.
TOLERATE = "for_each.failure.tolerate"
# Of things in a list, by what tells them apart: the path of the list, a dot, that, a dot, the field.
_LOCKS = "locks."
_RULES = "step.retry.rules."
_SIDECARS = f"{_CONFIG}sidecars."
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_WORDS = {"int": "a number", "string": "a text", "list": "a list", "map": "a map"}
# Characters of an image's name, a tag, and a variable of the environment.
_LONGEST = 4_096
_MOST = 100
# Characters of the partition of a dataset; it becomes part of a key.
LONGEST_PARTITION = bounds.KEY_CHARACTERS


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy that may be a value of the run."""

    # What people call it.
    name: str
    # The kinds of values that it takes, as expressions call them.
    kinds: frozenset[str]
    # Converts a value to that of the field; raises InvalidValue.
    convert: Callable[[Any], Any]
    # There is no default that null could stand for.
    required: bool = False

    @property
    def takes(self) -> str:
        """Return the kinds of values that it takes, in words."""
        return " or ".join(
            _WORDS[kind] for kind in ("int", "string", "list", "map") if kind in self.kinds
        )


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue("it must be a whole number")
    return value


def _positive(value: Any) -> int:
    if (number := _whole(value)) < 1:
        raise InvalidValue("it must be at least 1")
    return number


def _cores(value: Any) -> int:
    return round(_number(value) * 1000)


def _factor(value: Any) -> float:
    if (number := _number(value)) < 1:
        raise InvalidValue("it must be at least 1")
    return number


def _share(value: Any) -> float:
    if not 0 <= (number := _number(value)) <= 1:
        raise InvalidValue("it must be from 0 to 1")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue("it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= bounds.MOST:
        raise InvalidValue(f"it must be from 0 to {bounds.MOST}")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue("it must be a text that is not empty")
    if len(value) > _LONGEST:
        raise InvalidValue(f"it has {len(value)} characters; use at most {_LONGEST}")
    if not value.isprintable():
        raise InvalidValue("use printable characters")
    return value


def _pool(value: Any) -> str:
    if not POOL_NAME.match(_text(value)):
        raise InvalidValue(POOL_NAME_RULE)
    return str(value)


def _workflow(value: Any) -> str:
    if not NAME.match(_text(value)):
        raise InvalidValue(NAME_RULE)
    return str(value)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InvalidValue("it must be a list of texts")
    if len(value) > _MOST:
        raise InvalidValue(f"it has {len(value)} elements; use at most {_MOST}")
    return sorted({_text(each) for each in value})


def _tags(value: Any) -> list[str]:
    for tag in (tags := _texts(value)):
        if not NAME.match(tag):
            raise InvalidValue(f"{tag!r:.80}: use lower-case letters, digits and hyphens")
    return tags


def partition_problem(text: str) -> str:
    """Describe why a text is no partition of a dataset; empty when it is one."""
    if len(text) > LONGEST_PARTITION:
        return f"it has {len(text)} characters; use at most {LONGEST_PARTITION}"
    return "" if text.isprintable() else "use printable characters"


def _partition(value: Any) -> str:
    if isinstance(value, list | dict):
        raise InvalidValue("it must be a text, a number or a bool")
    text = value if isinstance(value, str) else canonical.dumps(value)
    if problem := partition_problem(text):
        raise InvalidValue(problem)
    return text


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidValue("it must be a map of texts by name")
    if len(value) > _MOST:
        raise InvalidValue(f"it has {len(value)} entries; use at most {_MOST}")
    return {_text(name): _variable(name, each) for name, each in value.items()}


def _variable(name: str, value: Any) -> str:
    if isinstance(value, list | dict) or value is None:
        raise InvalidValue(f"{name!r:.80} must be a text, a number or a bool")
    text = value if isinstance(value, str) else canonical.dumps(value)
    if "\0" in text or len(text) > _LONGEST:
        raise InvalidValue(f"{name!r:.80} has a NUL character, or more than {_LONGEST} characters")
    return text


def tolerated(value: Any) -> int | float | None:
    """Return how many cells may fail, or as a float how many percent of them; None when the value says neither."""
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        return value if 0 <= value <= bounds.MOST else None
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) if match and float(match[1]) <= 100 else None


def _tolerate(value: Any) -> Any:
    found = tolerated(value)
    if found is None:
        raise InvalidValue('it must be a number of cells or a percentage such as "20%"')
    return found if isinstance(found, int) else value.strip()


def _span(name: str) -> Policy:
    return Policy(name=name, kinds=_NUMBERS | _TEXT | {"duration"}, convert=milliseconds)


def _count(name: str, *, positive: bool = False, required: bool = False) -> Policy:
    convert = _positive if positive else _whole
    return Policy(name=name, kinds=_NUMBERS, convert=convert, required=required)


_OF_ALL = {"timeout_ms": _span("timeout"), "deadline_ms": _span("deadline")}
_OF_STEPS = {
    "timeout_ms": _span("total_timeout"),
    "deadline_ms": _span("deadline"),
    "step.timeout_ms": _span("timeout"),
    "step.retry.max_attempts": _count("retry: max_attempts", positive=True),
    "step.retry.backoff_ms": _span("retry: backoff"),
    "step.retry.max_backoff_ms": _span("retry: max_backoff"),
    "step.retry.backoff_factor": Policy(name="retry: factor", kinds=_NUMBERS, convert=_factor),
    "step.retry.max_duration_ms": _span("retry: max_duration"),
    "step.retry.jitter": Policy(name="retry: jitter", kinds=_NUMBERS, convert=_share),
    "step.pool": Policy(name="pool", kinds=_TEXT, convert=_pool),
    "step.labels": Policy(name="labels", kinds=frozenset({"list"}), convert=_texts),
    "step.tags": Policy(name="tags", kinds=frozenset({"list"}), convert=_tags),
    "step.priority": _count("priority"),
    "step.resources.slots": _count("resources: slots", positive=True),
    "step.resources.cpu_milli": Policy(name="resources: cpu", kinds=_NUMBERS, convert=_cores),
    "step.resources.memory_bytes": Policy(
        name="resources: memory", kinds=_NUMBERS | _TEXT, convert=size_in_bytes
    ),
    "step.resources.gpu": _count("resources: gpu"),
    f"{_CONFIG}image": Policy(name="image", kinds=_TEXT, convert=_text, required=True),
    f"{_CONFIG}env": Policy(name="env", kinds=frozenset({"map"}), convert=_environment),
}


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """What may be known only at run time of the things in one list."""

    noun: str
    fields: Mapping[str, Policy]
    # Whether only steps have the list, not all blocks.
    of_steps: bool = True


# By the path of the list.
_LISTED: Mapping[str, _Listed] = {
    _LOCKS: _Listed(
        noun="semaphore",
        fields={"limit": _count("limit", positive=True, required=True)},
        of_steps=False,
    ),
    _RULES: _Listed(
        noun="retry:",
        fields={
            "max_attempts": _count("max_attempts", positive=True, required=True),
            "backoff_ms": _span("backoff"),
        },
    ),
    _SIDECARS: _Listed(
        noun="sidecar", fields={each: _OF_STEPS[f"{_CONFIG}{each}"] for each in ("image", "env")}
    ),
}
_BY_KIND: Mapping[str, Mapping[str, Policy]] = {
    "step": _OF_STEPS,
    "workflow": _OF_ALL,
    "for_each": {
        **_OF_ALL,
        "for_each.max_concurrency": _count("max_concurrency"),
        TOLERATE: Policy(name="tolerate", kinds=_NUMBERS | _TEXT, convert=_tolerate),
    },
    "repeat": {
        **_OF_ALL,
        "repeat.max_iterations": _count("max_iterations", positive=True, required=True),
        "repeat.backoff_ms": _span("backoff"),
        "repeat.max_backoff_ms": _span("max_backoff"),
        "repeat.backoff_factor": Policy(name="factor", kinds=_NUMBERS, convert=_factor),
    },
    "sub_workflow": {
        **_OF_ALL,
        "sub_workflow.workflow": Policy(
            name="workflow", kinds=_TEXT, convert=_workflow, required=True
        ),
    },
    "gate": {"gate.timeout_ms": _span("timeout"), "deadline_ms": _span("deadline")},
    "branch": _OF_ALL,
    "group": _OF_ALL,
}
# By the last word of a field's name.
_UNITS = {"ms": " ms", "bytes": " bytes"}


def policy(kind: str, field: str) -> Policy | None:
    """Return the policy of blocks of a kind that a field holds; None when none may be known only at run time.

    The kind of what a whole workflow says is "workflow".
    """
    if (inside := _in_list(field)) is not None:
        return _of_listed(kind, inside)
    if kind == "step" and field.startswith(_CUSTOM) and field != _CUSTOM:
        return _count(f"resources: {field.removeprefix(_CUSTOM)}")
    if kind == "step" and field.startswith(_DATASETS) and field != _DATASETS:
        name = f"dataset {field.removeprefix(_DATASETS)}: partition"
        return Policy(name=name, kinds=_PARTITIONS, convert=_partition)
    return _BY_KIND.get(kind, {}).get(field)


@dataclass(frozen=True, kw_only=True)
class _InList:
    """A field of one thing in a list."""

    of: str
    which: str
    field: str


def _in_list(field: str) -> _InList | None:
    of = next((each for each in _LISTED if field.startswith(each)), None)
    which, _, last = field.removeprefix(of or "").rpartition(".")
    return _InList(of=of, which=which, field=last) if of and which else None


def _of_listed(kind: str, inside: _InList) -> Policy | None:
    listed = _LISTED[inside.of]
    found = listed.fields.get(inside.field)
    if found is None or kind == "workflow" or (listed.of_steps and kind != "step"):
        return None
    return replace(found, name=f"{listed.noun} {inside.which}: {found.name}")


def converted(kind: str, field: str, value: Any, limits: DefinitionLimits = DEFAULT) -> Any:
    """Return the value of a field for a value of the run; null leaves the field unset.

    Raises:
        InvalidValue: The policy does not take this value; the text names the policy, the value and what it takes.
    """
    found = policy(kind, field)
    if found is None:
        raise InvalidValue(f"blocks of the kind {kind} have no policy {field}")
    try:
        if value is None and not found.required:
            return None
        made = found.convert(value)
        _check_bounds(field, made, limits)
    except InvalidValue as error:
        shown = canonical.dumps(value)
        raise InvalidValue(f"{found.name} is {shown:.80}: {error}") from None
    return made


def _check_bounds(field: str, value: Any, limits: DefinitionLimits) -> None:
    if field == "repeat.max_iterations" and value > limits.iterations:
        raise InvalidValue(f"the limit iterations is {limits.iterations}")
    if field.startswith((_CONFIG, _DATASETS, TOLERATE)):
        return
    inside = _in_list(field)
    *_, last = _descriptors(field if inside is None else f"{inside.of}{inside.field}")
    bound = bounds.range_of(last) if isinstance(value, int) else None
    if bound is not None and not bound.low <= value <= bound.high:
        unit = _UNITS.get(last.name.rpartition("_")[2], "")
        raise InvalidValue(f"it must be from {bound.low} to {bound.high}{unit}")


def _descriptors(field: str) -> list[Any]:
    """Return the descriptors of the fields on the way to a field; of a map, that of its values."""
    found: list[Any] = []
    message: Any = d.Block.DESCRIPTOR
    for part in field.split("."):
        step = message.fields_by_name.get(part) or message.fields_by_name["value"]
        found.append(step)
        message = step.message_type
    return found


def is_set(block: d.Block, field: str) -> bool:
    """Tell whether a block has a value for a field beside the one that is bound."""
    if (inside := _in_list(field)) is not None:
        return any(_value_in(each, inside.field) for each in _listed(block, inside))
    if field == TOLERATE:
        return block.for_each.failure.WhichOneof("tolerate") is not None
    if field.startswith(_CONFIG):
        return field.removeprefix(_CONFIG) in _config(block)
    if field.startswith(_CUSTOM):
        return field.removeprefix(_CUSTOM) in block.step.resources.custom
    if field.startswith(_DATASETS):
        # Without a partition that is known before it is the dataset as a whole.
        return bool(dict(block.step.datasets).get(field.removeprefix(_DATASETS)))
    holder, last = _holder(block, field)
    return bool(getattr(holder, last))


def has_place(block: d.Block, field: str) -> bool:
    """Tell whether a block has what a field belongs to: the lock, the retry rule or the sidecar."""
    inside = _in_list(field)
    return inside is None or any(True for _ in _listed(block, inside))


def rule_word(rule: d.RetryRule) -> str:
    """Return what tells a retry rule of a step apart from the others."""
    word = str(rule.exit_code) if rule.exit_code else rule.error_type
    return f"{word}~{rule.message_pattern}" if rule.message_pattern else word


def _listed(block: d.Block, inside: _InList) -> Iterator[Any]:
    """Yield the things that a field of a list belongs to."""
    match inside.of:
        case "locks.":
            yield from (each for each in block.locks if each.name == inside.which)
        case "step.retry.rules.":
            yield from (each for each in block.step.retry.rules if rule_word(each) == inside.which)
        case _:
            yield from _sidecars(_config(block), inside.which)


def _sidecars(config: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    found = config.get("sidecars")
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict) and each.get("name") == name:
            yield each


def _value_in(thing: Any, field: str) -> bool:
    return bool(thing.get(field) if isinstance(thing, dict) else getattr(thing, field))


def applied(block: d.Block, values: Mapping[str, str]) -> d.Block:
    """Return a block with the values of its fields (canonical JSON, as `converted` gives them) in place of their bindings."""
    made = d.Block()
    made.CopyFrom(block)
    made.ClearField("bound")
    for field, text in sorted(values.items()):
        value = canonical.loads(text)
        if value is not None:
            _set(made, field, value)
    return made


def _set(block: d.Block, field: str, value: Any) -> None:
    if (inside := _in_list(field)) is not None:
        _set_in_list(block, inside, value)
    elif field == TOLERATE:
        found = tolerated(value)
        if isinstance(found, float):
            block.for_each.failure.percent = found
        elif found is not None:
            block.for_each.failure.count = found
    elif field.startswith(_CONFIG):
        config = _config(block) | {field.removeprefix(_CONFIG): value}
        block.step.config_json = canonical.dumps(config)
    elif field.startswith(_CUSTOM):
        block.step.resources.custom[field.removeprefix(_CUSTOM)] = value
    elif field.startswith(_DATASETS):
        block.step.datasets[field.removeprefix(_DATASETS)] = value
    else:
        holder, last = _holder(block, field)
        if isinstance(value, list):
            getattr(holder, last)[:] = value
        else:
            setattr(holder, last, value)


def _set_in_list(block: d.Block, inside: _InList, value: Any) -> None:
    if inside.of == _SIDECARS:
        config = _config(block)
        for each in _sidecars(config, inside.which):
            each[inside.field] = value
        block.step.config_json = canonical.dumps(config)
        return
    for each in _listed(block, inside):
        setattr(each, inside.field, value)


def _config(block: d.Block) -> dict[str, Any]:
    try:
        config = canonical.loads(block.step.config_json or "{}")
    except InvalidValue:
        # Said elsewhere.
        return {}
    return config if isinstance(config, dict) else {}


def _holder(block: d.Block, field: str) -> tuple[Any, str]:
    *path, last = field.split(".")
    holder: Any = block
    for part in path:
        holder = getattr(holder, part)
    return holder, last
