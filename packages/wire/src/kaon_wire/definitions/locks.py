"""Locks of blocks: their names, and the order in which nested blocks take them."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_wire.definitions.bindings import binding_problems
from kaon_wire.definitions.names import NAME
from kaon_wire.definitions.places import Checks, Place
from kaonapi.workflow.v1 import definition_pb2 as d


def lock_problems(block: d.Block, place: Place, checks: Checks) -> Iterator[str]:
    """Yield the problems of the locks of one block."""
    names = [lock.name for lock in block.locks]
    for lock in block.locks:
        what = f"{block.name}: lock {lock.name[:80]!r}"
        if not NAME.match(lock.name):
            yield f"{what}: use lower-case letters, digits and hyphens"
        if names.count(lock.name) > 1:
            yield f"{what}: a block takes one lock of a name"
        if lock.limit < 0:
            yield f"{what}: its limit must not be negative"
        if lock.HasField("key"):
            yield from binding_problems(lock.key, place.outside, f"{what}: its key", checks)
        yield from _order_problems(what, lock.name, place, checks)


def _order_problems(what: str, name: str, place: Place, checks: Checks) -> Iterator[str]:
    """Yield the locks around a block that would have to be taken after its own: otherwise runs could wait for each other."""
    for around in place.chain[:-1]:
        for held in checks.names.blocks[around].locks:
            if held.name == name:
                yield f"{what}: {around}, around it, holds a lock of the same name"
            elif held.name > name:
                yield (
                    f"{what}: {around}, around it, holds {held.name!r}; inner locks come after outer ones "
                    "in the order of their names"
                )
