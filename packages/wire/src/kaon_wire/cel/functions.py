"""The functions of expressions. Each may be called as f(x, y) and as x.f(y)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

from kaon_wire.cel.budget import CHARACTERS, Budget
from kaon_wire.cel.errors import CelError
from kaon_wire.cel.operators import NUMBERS, add, whole
from kaon_wire.cel.signatures import Overload
from kaon_wire.cel.values import kind_of, type_of, weight_of
from kaon_wire.errors import InvalidValue
from kaon_wire.patterns import compiled
from kaon_wire.times import duration_text, read_date, read_duration, time_text

FUNCTIONS: dict[str, list[Overload]] = {}

_MICROSECOND = timedelta(microseconds=1)
# What a date or a time costs that is made.
_MADE_TIME = 12


def _function(
    name: str, *parameters: str, gives: str, many: bool = False, charged: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def added(call: Callable[..., Any]) -> Callable[..., Any]:
        overload = Overload(
            parameters=parameters, result=gives, call=call, many=many, charged=charged
        )
        FUNCTIONS.setdefault(name, []).append(overload)
        return call

    return added


# Conversions.


@_function("int", "any", gives="int")
def _int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return whole(int(value))
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,19}", value):
        return whole(int(value))
    raise CelError(f"int() cannot read {_shown(value)}")


@_function("double", "any", gives="double")
def _double(value: Any) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise CelError(f"double() cannot read {_shown(value)}")


@_function("bool", "any", gives="bool")
def _bool(value: Any) -> bool:
    if value in ("true", "false") or isinstance(value, bool):
        return value in ("true", True)
    raise CelError(f"bool() cannot read {_shown(value)}")


@_function("string", "any", gives="string")
def _string(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise CelError(f"string() takes no {kind_of(value)}")


@_function("bytes", "string", gives="bytes")
def _bytes(value: str) -> bytes:
    return value.encode()


_function("uint", "any", gives="int")(_int)
_function("type", "any", gives="type")(type_of)
_function("dyn", "any", gives="any")(lambda value: value)


def _shown(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, str | int | float) else kind_of(value)


# Values in place of others.


@_function("coalesce", "any", gives="any", many=True)
def _coalesce(*values: Any) -> Any:
    """Return the first value that is not null."""
    return next((each for each in values if each is not None), None)


@_function("get", "map", "string", "any", gives="any")
def _get(values: Mapping[str, Any], key: str, default: Any) -> Any:
    return values.get(key, default)


@_function("get", "list", "int", "any", gives="any")
def _get_at(values: list[Any], index: int, default: Any) -> Any:
    return values[index] if 0 <= index < len(values) else default


# Sizes.


@_function("size", "string", gives="int")
@_function("size", "list", gives="int")
@_function("size", "map", gives="int")
@_function("size", "bytes", gives="int")
def _size(value: Any) -> int:
    """Return the number of characters, items, entries or bytes."""
    return len(value)


# Texts.


def _length(budget: Budget, length: int) -> None:
    budget.charge(length // CHARACTERS)


@_function("contains", "string", "string", gives="bool")
def _contains(text: str, part: str) -> bool:
    return part in text


@_function("startsWith", "string", "string", gives="bool")
def _starts(text: str, part: str) -> bool:
    return text.startswith(part)


@_function("endsWith", "string", "string", gives="bool")
def _ends(text: str, part: str) -> bool:
    return text.endswith(part)


@_function("indexOf", "string", "string", gives="int")
def _index(text: str, part: str) -> int:
    return text.find(part)


@_function("lastIndexOf", "string", "string", gives="int")
def _last_index(text: str, part: str) -> int:
    return text.rfind(part)


@_function("lowerAscii", "string", gives="string", charged=True)
def _lower(budget: Budget, text: str) -> str:
    _length(budget, len(text))
    return re.sub("[A-Z]+", lambda found: found[0].lower(), text)


@_function("upperAscii", "string", gives="string", charged=True)
def _upper(budget: Budget, text: str) -> str:
    _length(budget, len(text))
    return re.sub("[a-z]+", lambda found: found[0].upper(), text)


@_function("trim", "string", gives="string", charged=True)
def _trim(budget: Budget, text: str) -> str:
    _length(budget, len(text))
    return text.strip()


@_function("replace", "string", "string", "string", gives="string", charged=True)
def _replace(budget: Budget, text: str, old: str, new: str) -> str:
    _length(budget, len(text) + text.count(old) * len(new))
    return text.replace(old, new)


@_function("split", "string", "string", gives="list", charged=True)
def _split(budget: Budget, text: str, separator: str) -> list[str]:
    budget.charge(len(text))
    return text.split(separator) if separator else list(text)


@_function("join", "list", gives="string", charged=True)
@_function("join", "list", "string", gives="string", charged=True)
def _join(budget: Budget, values: list[Any], separator: str = "") -> str:
    wrong = next((each for each in values if not isinstance(each, str)), None)
    if wrong is not None or None in values:
        raise CelError(
            f'join() takes a list of strings, and one item is {kind_of(wrong)}: list.map(x, string(x)).join(",")'
        )
    _length(budget, sum(map(len, values)) + len(separator) * len(values))
    return separator.join(values)


@_function("substring", "string", "int", gives="string", charged=True)
@_function("substring", "string", "int", "int", gives="string", charged=True)
def _substring(budget: Budget, text: str, start: int, end: int | None = None) -> str:
    _length(budget, len(text))
    return text[slice(*_bounds(len(text), start, end))]


@_function("matches", "string", "string", gives="bool", charged=True)
def _matches(budget: Budget, text: str, pattern: str) -> bool:
    budget.charge(len(pattern))
    found = _pattern(pattern)
    budget.charge(len(text) * found.programsize // 4)
    return found.search(text) is not None


def _pattern(pattern: str) -> Any:
    try:
        return compiled(pattern)
    except InvalidValue as error:
        raise CelError(f"matches(): {error}") from None


# Lists.


@_function("range", "int", gives="list", charged=True)
@_function("range", "int", "int", gives="list", charged=True)
@_function("range", "int", "int", "int", gives="list", charged=True)
def _range(budget: Budget, start: int, end: int | None = None, step: int = 1) -> list[int]:
    """Return the integers below an end, as Python's range does."""
    numbers = range(start) if end is None else range(start, end, step)
    budget.charge(max(0, _count(numbers)) * 4)
    return list(numbers)


def _count(numbers: range) -> int:
    # `len` refuses what is longer than 63 bits.
    return (numbers.stop - numbers.start) // numbers.step + 1


@_function("dates", "string", "string", gives="list", charged=True)
@_function("dates", "string", "string", "int", gives="list", charged=True)
def _dates(budget: Budget, start: str, end: str, step: int = 1) -> list[str]:
    """Return the dates from one to before another, each so many days after the one before it; downwards by negative days."""
    try:
        first, last = read_date(start).toordinal(), read_date(end).toordinal()
    except InvalidValue as error:
        raise CelError(f"dates(): {error}") from None
    ordinals = range(first, last, step)
    budget.charge(max(0, _count(ordinals)) * _MADE_TIME)
    return [date.fromordinal(each).isoformat() for each in ordinals]


@_function("dates", "timestamp", "timestamp", "duration", gives="list", charged=True)
def _times(budget: Budget, start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Return the times from one to before another at equal distances; downwards by a negative distance."""
    numbers = range(0, (end - start) // _MICROSECOND, step // _MICROSECOND)
    budget.charge(max(0, _count(numbers)) * _MADE_TIME)
    return [start + each * _MICROSECOND for each in numbers]


@_function("zip", "list", "list", gives="list", many=True, charged=True)
def _zip(budget: Budget, *lists: list[Any]) -> list[list[Any]]:
    """Return lists of the first items, of the second items and so on; all lists are of one length."""
    if len({len(each) for each in lists}) > 1:
        lengths = ", ".join(str(len(each)) for each in lists)
        raise CelError(f"zip() takes lists of one length, not of {lengths} items")
    budget.charge(len(lists[0]) * (len(lists) + 4))
    return [list(each) for each in zip(*lists, strict=True)]


@_function("flatten", "list", gives="list", charged=True)
def _flatten(budget: Budget, lists: list[Any]) -> list[Any]:
    """Join the lists in a list; other items stay."""
    budget.charge(sum(len(each) for each in lists if isinstance(each, list)))
    parts = (each if isinstance(each, list) else [each] for each in lists)
    return list(chain.from_iterable(parts))


@_function("slice", "list", "int", "int", gives="list")
def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    return values[slice(*_bounds(len(values), start, end))]


@_function("reverse", "list", gives="list")
def _reverse(values: list[Any]) -> list[Any]:
    return values[::-1]


@_function("first", "list", gives="any")
def _first(values: list[Any]) -> Any:
    return values[0] if values else None


@_function("last", "list", gives="any")
def _last(values: list[Any]) -> Any:
    return values[-1] if values else None


@_function("distinct", "list", gives="list", charged=True)
def _distinct(budget: Budget, values: list[Any]) -> list[Any]:
    """Return every item once, in the order of the first ones."""
    budget.charge(weight_of(values) * 40)
    found: dict[Any, Any] = {}
    for each in values:
        found.setdefault(_key(each), each)
    return list(found.values())


def _key(value: Any) -> Any:
    """Return a key that only equal values have in common."""
    if isinstance(value, list):
        return ("list", *map(_key, value))
    if isinstance(value, Mapping):
        return ("map", frozenset((key, _key(each)) for key, each in value.items()))
    return ("bool", value) if isinstance(value, bool) else value


@_function("sort", "list", gives="list", charged=True)
def _sort(budget: Budget, values: list[Any]) -> list[Any]:
    """Return numbers, texts, times or durations in ascending order."""
    _alike(values, "sort")
    budget.charge(len(values) * 3 * len(values).bit_length())
    return sorted(values)


@_function("min", "list", gives="any")
@_function("min", "number", "number", gives="any", many=True)
def _min(*values: Any) -> Any:
    return _extreme(min, "min", values)


@_function("max", "list", gives="any")
@_function("max", "number", "number", gives="any", many=True)
def _max(*values: Any) -> Any:
    return _extreme(max, "max", values)


def _extreme(choose: Callable[[Any], Any], name: str, values: tuple[Any, ...]) -> Any:
    given = values[0] if len(values) == 1 else list(values)
    if not given:
        raise CelError(f"{name}() of no items")
    _alike(given, name)
    return choose(given)


@_function("sum", "list", gives="any", charged=True)
def _sum(budget: Budget, values: list[Any]) -> Any:
    """Add numbers; the sum of none is 0."""
    budget.charge(len(values) * 20)
    total: Any = 0
    for each in values:
        if kind_of(each) not in NUMBERS:
            raise CelError(f"sum() takes a list of numbers, and one item is {kind_of(each)}")
        total = add(total, each, budget)
    return total


@_function("abs", "number", gives="any")
def _abs(value: Any) -> Any:
    return whole(abs(value)) if isinstance(value, int) else abs(value)


@_function("round", "number", gives="int")
def _round(value: float) -> int:
    return whole(round(value))


@_function("floor", "number", gives="int")
def _floor(value: float) -> int:
    return whole(int(value // 1))


@_function("ceil", "number", gives="int")
def _ceil(value: float) -> int:
    return whole(-int(-value // 1))


def _alike(values: list[Any], name: str) -> None:
    kinds = {"number" if (kind := kind_of(each)) in NUMBERS else kind for each in values}
    if len(kinds) > 1 or not kinds <= {"number", "string", "timestamp", "duration"}:
        raise CelError(
            f"{name}() takes numbers or strings of one kind, not {', '.join(sorted(kinds))}"
        )


def _bounds(length: int, start: int, end: int | None) -> tuple[int, int]:
    last = length if end is None else end
    if not 0 <= start <= last <= length:
        raise CelError(f"from {start} to {last} is outside of what has {length}")
    return start, last


# Maps.


@_function("keys", "map", gives="list")
def _keys(values: Mapping[str, Any]) -> list[str]:
    return sorted(values)


@_function("values", "map", gives="list")
def _values(values: Mapping[str, Any]) -> list[Any]:
    return [values[key] for key in sorted(values)]


@_function("merge", "map", "map", gives="map", many=True)
def _merge(*maps: Mapping[str, Any]) -> dict[str, Any]:
    """Return all entries; those of later maps replace those of earlier ones."""
    return {key: value for each in maps for key, value in each.items()}


# Times.


@_function("timestamp", "string", gives="timestamp")
def _timestamp(text: str) -> datetime:
    """Read a time in RFC 3339, or a date."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CelError(f"timestamp() cannot read {text[:80]!r}") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)


@_function("timestamp", "int", gives="timestamp")
def _timestamp_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@_function("duration", "string", gives="duration")
def _duration(text: str) -> timedelta:
    """Read a duration such as "1h30m"."""
    try:
        return read_duration(text)
    except InvalidValue as error:
        raise CelError(f"duration(): {error}") from None


def _part(name: str, read: Callable[[datetime], int]) -> None:
    _function(name, "timestamp", gives="int")(read)


_part("getFullYear", lambda time: time.year)
_part("getMonth", lambda time: time.month - 1)
_part("getDate", lambda time: time.day)
_part("getDayOfMonth", lambda time: time.day - 1)
_part("getDayOfWeek", lambda time: time.isoweekday() % 7)
_part("getDayOfYear", lambda time: time.timetuple().tm_yday - 1)
for _name, _unit, _seconds in (
    ("getHours", "hour", 3600),
    ("getMinutes", "minute", 60),
    ("getSeconds", "second", 1),
):
    _part(_name, lambda time, unit=_unit: int(getattr(time, unit)))  # type: ignore[misc]
    _function(_name, "duration", gives="int")(
        lambda value, seconds=_seconds: int(value.total_seconds() / seconds)
    )
_part("getMilliseconds", lambda time: time.microsecond // 1000)


@_function("format", "timestamp", "string", gives="string")
def _format(time: datetime, pattern: str) -> str:
    """Write a time by a pattern of Python's `strftime`, such as "%Y-%m-%d"."""
    if len(pattern) > 200:
        raise CelError("format() takes a pattern of at most 200 characters")
    return time.strftime(pattern)
