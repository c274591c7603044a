"""Readable paths of instances: `cycle#2/regions[US]/train`, `choose=0/small`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kaon_wire import canonical

# Bytes of the path of a cell that is named by its item; longer ones are named by their numbers. With all that can be around and
# inside of it, no path is longer than an index of a database holds (2,704 bytes in PostgreSQL).
NAMED_BYTES = 1_000

_UNSAFE = re.compile(r"[\[\]/#=\s]")


def item_cell(block_path: str, key: str) -> str:
    """The path of a foreach's cell."""
    return f"{block_path}[{key}]"


def fits(block_path: str, keys: Sequence[str]) -> bool:
    """Whether the cells of a foreach can be named so."""
    return all(len(item_cell(block_path, key).encode()) <= NAMED_BYTES for key in keys)


def iteration_cell(block_path: str, number: int) -> str:
    """The path of a repeat's iteration, counted from 1."""
    return f"{block_path}#{number}"


def case_cell(block_path: str, case: str) -> str:
    """The path of a branch's taken case: its index, or "else"."""
    return f"{block_path}={case}"


def group_cell(block_path: str) -> str:
    """The key of a group's body: the slash tells it from the group."""
    return f"{block_path}/"


def item_keys(items: Sequence[object]) -> tuple[str, ...]:
    """The keys of a foreach's items, all different: each item's own (see `item_key`), and the index of every item whose own key is
    also that of another one."""
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
    """The key of a foreach's item: the item itself when it is a short text or number and fit for a path, else its index.

    An object may name itself by a string or number under "key", "id" or "name".
    """
    if isinstance(item, dict):
        item = next((item[name] for name in ("key", "id", "name") if name in item), None)
    if isinstance(item, bool) or not isinstance(item, str | int | float) or item == "":
        return str(index)
    text = item if isinstance(item, str) else canonical.dumps(item)
    return str(index) if len(text) > 80 or _UNSAFE.search(text) else text


def at_or_under(path: str, place: str) -> bool:
    """Whether a path is that of a place or of something inside of it; everything is inside of the empty place."""
    if not place or path == place:
        return True
    return path.startswith(place) and (place.endswith("/") or path[len(place)] in "/[#=")
