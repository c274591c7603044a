"""What commands print: tables for people, JSON lines for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kaon.cli.screen import Screen, shown
from kaon_wire import canonical

_JSON = "_json"
_MICROSECONDS = "_us"
# Fields that hold microseconds since the epoch; others with this ending are durations.
TIMES = frozenset(
    {
        "time_us",
        "due_us",
        "deadline_us",
        "retry_time_us",
        "grant_time_us",
        "ready_time_us",
        "start_us",
        "end_us",
    }
)
_WIDE = 10_000
# The last column of a table wraps when it has so much room.
_LAST_COLUMN = 24


def console() -> Console:
    """Where people read: standard output."""
    return Screen(highlight=False)


def say(text: str) -> None:
    """Print one line for people, without markup or wrapping."""
    console().print(text, markup=False, soft_wrap=True)


def note(text: str) -> None:
    """Print one line for people on standard error, beside what a script reads."""
    Screen(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


def print_json(value: Message | dict[str, Any]) -> None:
    """Print one line of JSON, and flush it so that a reader gets it at once."""
    plain = as_dict(value) if isinstance(value, Message) else value
    sys.stdout.write(json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def as_dict(message: Message) -> dict[str, Any]:
    """Convert a message to JSON-like values.

    Fields that are not set stand with their default; absent messages and unset alternatives are left out. Enum values come without
    their prefix, times as RFC 3339 has them (those in microseconds without the ending "_us"), and fields whose name ends in
    "_json" as the values that they hold, without that ending.
    """
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        name, value = field.name, getattr(message, field.name)
        if name.endswith(_JSON):
            name, value = name.removesuffix(_JSON), _parsed(value)
        elif name in TIMES:
            name, value = name.removesuffix(_MICROSECONDS), _time(value)
        found[name] = _plain(field, value)
    return found


def _time(microseconds: int) -> str | None:
    """Format a time; None for none."""
    if not microseconds:
        return None
    return Timestamp(
        seconds=microseconds // 10**6, nanos=microseconds % 10**6 * 1000
    ).ToJsonString()


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        return canonical.loads(value) if value else None
    if hasattr(value, "items"):
        return {key: canonical.loads(text) for key, text in sorted(value.items())}
    return [canonical.loads(text) for text in value]


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, dict | list) or value is None:
        return value
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        kind = field.message_type.fields_by_name["value"]
        return {str(key): _single(kind, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, element) for element in value]
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return as_dict(value)
    if field.enum_type is not None:
        return _enum(field, value)
    return value.hex() if isinstance(value, bytes) else value


def _enum(field: Any, number: int) -> str:
    enum = field.enum_type
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = enum.values_by_number.get(number)
    return known.name.removeprefix(prefix) if known is not None else str(number)


def print_table(
    columns: Iterable[str], rows: Iterable[Iterable[str | Text]], *, nothing: str
) -> None:
    """Print rows under headings, or `nothing` when there are none."""
    rows = [tuple(row) for row in rows]
    out = console()
    if not rows:
        out.print(nothing, style="dim")
        return
    if not out.is_terminal:  # in a file or pipe a row is one line, however long
        out = Screen(highlight=False, width=_WIDE)
    columns, cells = (
        tuple(columns),
        [[_cell(each) for each in row] for row in rows],
    )
    needed = [
        max(len(name), *(row[place].cell_len for row in cells)) + 2
        for place, name in enumerate(columns)
    ]
    if sum(needed[:-1]) + min(needed[-1], _LAST_COLUMN) > out.width:
        _print_stacked(columns, cells, out)
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    *short, last = columns
    for column in short:
        table.add_column(column, no_wrap=True)
    table.add_column(last, overflow="fold", min_width=8)
    for row in cells:
        table.add_row(*row)
    out.print(table)


def _cell(told: str | Text) -> Text:
    """Return a cell as it will be shown, so that columns are as wide as they must be."""
    if isinstance(told, str):
        return Text(shown(told))
    plain = shown(told.plain)
    return told if plain == told.plain else Text(plain, style=told.style)


def _print_stacked(columns: Sequence[str], rows: Iterable[Sequence[Text]], out: Console) -> None:
    """Print rows that are wider than the terminal: the first column, and the others below it. Nothing is cut."""
    width = max(map(len, columns))
    for first, *others in rows:
        first.stylize("bold")
        out.print(first, overflow="fold")
        for name, cell in zip(columns[1:], others, strict=True):
            if cell.plain:
                cell.overflow = "fold"
                grid = Table.grid(padding=(0, 2, 0, 0))
                grid.add_column(no_wrap=True, min_width=width + 2)
                grid.add_column(overflow="fold")
                grid.add_row(Text(f"  {name.lower()}", style="dim"), cell)
                out.print(grid)
