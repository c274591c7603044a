"""Parts of a large run: its steps in order of creation, then its blocks, so many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_service import page_tokens
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2

LARGEST_PART = 10_000

_STEPS, _BLOCKS = "steps", "blocks"
# Beyond every position.
_END = 2**31
# Of the number of an event.
_DIGITS = 19
_FOREIGN = "page_token: use the next_page_token of an answer as it is"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one part, and where the next one begins; empty at the end."""

    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]
    next_page_token: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where a part begins, and how large it is."""

    # Whether all steps were told before.
    blocks: bool
    # Position of the last row before; -1: there was none.
    after: int
    size: int
    # The event after which the run is shown; 0: as it stands.
    seq: int = 0

    def read(self, store: RunStore, run_id: str) -> Rows:
        """Read the rows. One more than are told shows whether there are others. Blocks."""
        steps: Sequence[StepRow] = ()
        if not self.blocks:
            steps = store.list_steps(run_id, self.after, self.size + 1)
            if len(steps) > self.size:
                steps = steps[: self.size]
                token = self._token(_STEPS, steps[-1].position)
                return Rows(steps=steps, blocks=(), next_page_token=token)
        room, after = self.size - len(steps), self.after if self.blocks else -1
        blocks = store.list_blocks(run_id, after, room + 1)
        token = ""
        if len(blocks) > room:
            blocks = blocks[:room]
            token = self._token(_BLOCKS, blocks[-1].position if blocks else -1)
        return Rows(steps=steps, blocks=blocks, next_page_token=token)

    def cut(
        self, steps: Sequence[run_pb2.StepView], blocks: Sequence[run_pb2.BlockView]
    ) -> tuple[Sequence[run_pb2.StepView], Sequence[run_pb2.BlockView], str]:
        """Return the part of what is in memory, whose positions are its places in both lists, and the next page's token."""
        begin = self.after + 1 + (len(steps) if self.blocks else 0)
        end = begin + self.size
        token = ""
        if end < len(steps) + len(blocks):
            in_steps = end <= len(steps)
            place = end - 1 if in_steps else end - 1 - len(steps)
            token = self._token(_STEPS if in_steps else _BLOCKS, place)
        first = max(0, begin - len(steps))
        return steps[begin:end], blocks[first : max(0, end - len(steps))], token

    def _token(self, kind: str, position: int) -> str:
        return page_tokens.made(position, f"{kind}:{self.seq}" if self.seq else kind)


def part_of(page_size: int, page_token: str, seq: int = 0) -> Part:
    """Return what a request asks for.

    Args:
        page_size: Rows at most; 0: as many as possible.
        page_token: Of the part before; empty: the first.
        seq: The event after which the run is shown; 0: as it stands. Further parts are of the moment of the first one.

    Raises:
        InvalidValue: The token is none of such a response.
    """
    size = page_size or LARGEST_PART
    if not page_token:
        return Part(blocks=False, after=-1, size=size, seq=seq)
    position, name = page_tokens.place(page_token)
    kind, _, told = name.partition(":")
    if kind not in {_STEPS, _BLOCKS} or position >= _END or bool(told) != bool(seq):
        raise InvalidValue(_FOREIGN)
    return Part(blocks=kind == _BLOCKS, after=position, size=size, seq=_moment(told))


def _moment(told: str) -> int:
    if told and not (told.isascii() and told.isdigit() and len(told) < _DIGITS):
        raise InvalidValue(_FOREIGN)
    return int(told or 0)
