"""Readable paths of instances: `cycle#2/regions[US]/train`, `choose=0/small`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kaon_wire import canonical

# Bytes of the path of a cell that is named by its item; cells with longer paths are named by number. With all
# possible prefixes and suffixes, no path exceeds the index limit of a database (2,704 bytes in PostgreSQL).
NAMED_BYTES = 1_000

_UNSAFE = re.compile(r"[\[\]/#=\s]")


def item_cell(block_path: str, key: str) -> str:
    """Return the path of a foreach's cell."""
    return f"{block_path}[{key}]"


def fits(block_path: str, keys: Sequence[str]) -> bool:
    """Tell whether the cells of a foreach can be named by these keys."""
    return all(len(item_cell(block_path, key).encode()) <= NAMED_BYTES for key in keys)


def iteration_cell(block_path: str, number: int) -> str:
    """Return the path of a repeat's iteration, counted from 1."""
    return f"{block_path}#{number}"


def case_cell(block_path: str, case: str) -> str:
    """Return the path of a branch's chosen case: its index, or "else"."""
    return f"{block_path}={case}"


def group_cell(block_path: str) -> str:
    """Return the key of a group's body: the slash distinguishes it from the group."""
    return f"{block_path}/"


def block_of_cell(path: str) -> str:
    """Return the path of the block that a cell belongs to, given the cell's: keys of items have no separators in them."""
    return path[:-1] if path.endswith("/") else path[: max(map(path.rfind, "[#="))]


def item_keys(items: Sequence[object]) -> tuple[str, ...]:
    """Return the distinct keys of a foreach's items.

    Each item has its own key (see `item_key`); items with equal keys get their index instead.
    """
    keys = [item_key(item, index) for index, item in enumerate(items)]
    holders: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        holders.setdefault(key, []).append(index)
    shared = [same for same in holders.values() if len(same) > 1]
    while shared:
        for index in shared.pop():
            number = str(index)
            if keys[index] == number:
                continue
            keys[index] = number
            same = holders.setdefault(number, [])
            same.append(index)
            if len(same) > 1:
                shared.append(same)
    return tuple(keys)


def item_key(item: object, index: int) -> str:
    """Return the key of a foreach's item: the item itself when it is a short text or number fit for a path, else its index.

    An object may provide its key as a string or number under "key", "id" or "name".
    """
    if isinstance(item, dict):
        item = next((item[name] for name in ("key", "id", "name") if name in item), None)
    if isinstance(item, bool) or not isinstance(item, str | int | float) or item == "":
        return str(index)
    text = item if isinstance(item, str) else canonical.dumps(item)
    return str(index) if len(text) > 80 or _UNSAFE.search(text) else text


def at_or_under(path: str, place: str) -> bool:
    """Tell whether a path lies at or under a place; the empty place contains every path."""
    if not place or path == place:
        return True
    return path.startswith(place) and (place.endswith("/") or path[len(place)] in "/[#=")
