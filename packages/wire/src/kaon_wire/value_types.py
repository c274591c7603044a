"""Which JSON values are of a declared type, what errors call the type, and what its values are in expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from kaon_wire import canonical, times
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_PREFIX = "VALUE_TYPE_"
# Of every type, as workflows write them.
NAMES: Mapping[int, str] = {
    number: name.removeprefix(_PREFIX).lower() for name, number in d.ValueType.items() if number
}
_SHOWN = 60
# Types whose values are not JSON by themselves.
_NATIVE: Mapping[int, Callable[[str], Any]] = {
    d.VALUE_TYPE_DATETIME: times.read_time,
    d.VALUE_TYPE_DURATION: times.read_duration,
}
# Types whose values are texts.
TEXTS = frozenset({d.VALUE_TYPE_STRING, d.VALUE_TYPE_DATE, *_NATIVE})


class Shaped(Protocol):
    """A declaration of a value: a parameter, or a `Shape`."""

    @property
    def type(self) -> d.ValueType.ValueType:
        """Return the type."""

    @property
    def of(self) -> d.Shape:
        """Return what stands inside of a list or map."""

    @property
    def optional(self) -> bool:
        """Tell whether null is a value, too."""

    @property
    def choices_json(self) -> Sequence[str]:
        """Return canonical JSON of the only values allowed; empty means all."""


def is_artifact(kind: int) -> bool:
    """Tell whether values of this type are files or directories kept by digest."""
    return kind >= d.VALUE_TYPE_FILE


def name_of(shape: Shaped) -> str:
    """Return how a type is written: "int", "list[datetime]", "map[float]?"."""
    name = NAMES.get(shape.type, "any")
    inside = f"[{name_of(shape.of)}]" if shape.of.type else ""
    return f"{name}{inside}{'?' if shape.optional else ''}"


def shape_of(parameter: d.Parameter) -> d.Shape:
    """Return the type of a parameter, with what is inside of it."""
    of = parameter.of if parameter.HasField("of") else None
    return d.Shape(
        type=parameter.type,
        of=of,
        optional=parameter.optional,
        choices_json=parameter.choices_json,
    )


def is_required(parameter: d.Parameter) -> bool:
    """Tell whether each run must be given a value."""
    has_default = parameter.HasField("default_json") or parameter.HasField("computed")
    return not parameter.optional and not has_default


def fault(value: Any, shape: Shaped, place: str = "") -> str:
    """Describe why a JSON value is not of a declared type; empty when it is.

    Args:
        value: The value.
        shape: The declaration.
        place: Where in the whole value it stands, such as "[2]".
    """
    if value is None and shape.optional:
        return ""
    expected, holds = _CHECKS.get(shape.type, _ARTIFACT)
    if problem := holds(value):
        found = problem if isinstance(problem, str) else f"not {shown(canonical.dumps(value))}"
        where = f": {place} is wrong" if place else ""
        return f"must be {expected}, {found}{where}"
    if place and (problem := choice_fault(value, shape)):
        return f"{problem}: {place} is wrong"
    if not shape.of.type:
        return ""
    if not isinstance(value, dict | list):
        # A type that has nothing inside: the check of the declaration says so.
        return ""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    faults = (fault(each, shape.of, f"{place}[{canonical.dumps(key)}]") for key, each in inside)
    return next(filter(None, faults), "")


def choice_fault(value: Any, shape: Shaped) -> str:
    """Describe why a value of the right type is none of the choices; empty when it is one or there are none."""
    if not shape.choices_json or (value is None and shape.optional):
        return ""
    choices = [declared(canonical.loads(each), shape) for each in shape.choices_json]
    value = declared(value, shape)
    if has_natives(shape):
        # "90m" is "1h30m".
        good = native(value, shape) in [native(each, shape) for each in choices]
    else:
        # True is not 1.
        good = canonical.dumps(value) in map(canonical.dumps, choices)
    allowed = shown(", ".join(map(canonical.dumps, choices)))
    return "" if good else f"must be one of {allowed}, not {shown(canonical.dumps(value))}"


def declared(value: Any, shape: Shaped) -> Any:
    """Convert a JSON value to its declared type: an integer where a float is declared becomes a float."""
    if shape.type == d.VALUE_TYPE_FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return canonical.loads(canonical.as_float(canonical.dumps(value)))
    if not shape.of.type:
        return value
    if isinstance(value, list):
        return [declared(each, shape.of) for each in value]
    if isinstance(value, dict):
        return {key: declared(each, shape.of) for key, each in value.items()}
    return value


def has_natives(shape: Shaped) -> bool:
    """Tell whether values of a type, or what is in them, are not JSON by themselves in expressions."""
    return shape.type in _NATIVE or (bool(shape.of.type) and has_natives(shape.of))


def has_artifacts(shape: Shaped) -> bool:
    """Tell whether values of a type, or what is in them, are artifacts."""
    return is_artifact(shape.type) or (bool(shape.of.type) and has_artifacts(shape.of))


def native(value: Any, shape: Shaped) -> Any:
    """Return a JSON value as expressions have it: times as `datetime`, durations as `timedelta`.

    A list where a time is declared has the times of a foreach's cells.

    Raises:
        InvalidValue: The value is not of the declared type.
    """
    read = _NATIVE.get(shape.type)
    if read is not None:
        if isinstance(value, list):
            return [native(each, shape) for each in value]
        return read(value) if isinstance(value, str) else value
    if not shape.of.type:
        return value
    if isinstance(value, list):
        return [native(each, shape.of) for each in value]
    if isinstance(value, dict):
        return {key: native(each, shape.of) for key, each in value.items()}
    return value


def shown(text: str) -> str:
    """Return the beginning of a value, for errors."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _unlike(*wanted: type) -> Callable[[Any], bool]:
    """Return a check that tells whether a value is of none of these types; true is no number."""
    return lambda value: (
        not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)
    )


def _unread(read: Callable[[str], Any]) -> Callable[[Any], bool | str]:
    def check(value: Any) -> bool | str:
        if not isinstance(value, str):
            return True
        try:
            read(value)
        except InvalidValue as error:
            return f"but {error}"
        return False

    return check


def _no_artifact(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"artifact"}:
        return True
    artifact = value["artifact"]
    if not isinstance(artifact, dict) or not isinstance(artifact.get("uri"), str):
        return True
    return not isinstance(artifact.get("digest"), str) or not _DIGEST.match(artifact["digest"])


# What errors call a value of each type, and a check that gives what is wrong, or whether something is.
_CHECKS: Mapping[int, tuple[str, Callable[[Any], bool | str]]] = {
    d.VALUE_TYPE_STRING: ("a string", _unlike(str)),
    d.VALUE_TYPE_INT: ("an integer", _unlike(int)),
    d.VALUE_TYPE_FLOAT: ("a number", _unlike(int, float)),
    d.VALUE_TYPE_BOOL: ("true or false", _unlike(bool)),
    d.VALUE_TYPE_LIST: ("a list", _unlike(list)),
    d.VALUE_TYPE_MAP: ("an object", _unlike(dict)),
    d.VALUE_TYPE_ANY: ("any JSON value", lambda value: False),
    d.VALUE_TYPE_DATE: (
        'a date such as "2026-11-24"',
        lambda value: bool(_unread(times.read_date)(value)),
    ),
    d.VALUE_TYPE_DATETIME: ("a time with its offset", _unread(times.read_time)),
    d.VALUE_TYPE_DURATION: ("a duration", _unread(times.read_duration)),
}
_ARTIFACT: tuple[str, Callable[[Any], bool | str]] = ("an artifact", _no_artifact)
