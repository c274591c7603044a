"""Parts of a large run: its steps in order of creation, then its blocks, so many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_service import page_tokens
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_service_pb2

LARGEST_PART = 10_000

_STEPS, _BLOCKS = "steps", "blocks"
# Beyond every position.
_END = 2**31


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

    def read(self, store: RunStore, run_id: str) -> Rows:
        """Read the rows. One more than are told shows whether there are others. Blocks."""
        steps: Sequence[StepRow] = ()
        if not self.blocks:
            steps = store.list_steps(run_id, self.after, self.size + 1)
            if len(steps) > self.size:
                steps = steps[: self.size]
                return Rows(
                    steps=steps, blocks=(), next_page_token=_token(_STEPS, steps[-1].position)
                )
        room, after = self.size - len(steps), self.after if self.blocks else -1
        blocks = store.list_blocks(run_id, after, room + 1)
        token = ""
        if len(blocks) > room:
            blocks = blocks[:room]
            token = _token(_BLOCKS, blocks[-1].position if blocks else -1)
        return Rows(steps=steps, blocks=blocks, next_page_token=token)


def part_of(request: run_service_pb2.GetRunRequest) -> Part:
    """Return what a request asks for.

    Raises:
        InvalidValue: The token is none of such a response.
    """
    size = request.page_size or LARGEST_PART
    if not request.page_token:
        return Part(blocks=False, after=-1, size=size)
    position, kind = page_tokens.place(request.page_token)
    if kind not in {_STEPS, _BLOCKS} or position >= _END:
        raise InvalidValue("page_token: use the next_page_token of an answer as it is")
    return Part(blocks=kind == _BLOCKS, after=position, size=size)


def _token(kind: str, position: int) -> str:
    return page_tokens.made(position, kind)
