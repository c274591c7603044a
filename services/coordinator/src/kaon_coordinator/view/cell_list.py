"""Cells one by one: filtered, searched, sorted, page by page."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kaon_coordinator.engine.rows.row_views import timestamp
from kaon_coordinator.engine.state.state import BlockState
from kaon_coordinator.view.cells import CellLook, Look, block_at, look_at
from kaon_coordinator.view.live_run import LiveRun
from kaon_wire.errors import InvalidValue
from kaonapi.view.v1 import cells_pb2

_PAGE = 100
_ITEM_CHARACTERS = 1_024

# The rank of a cell; None for cells that come last, whichever way the others go.
_Rank = Callable[[CellLook, int], float | None]


def _took(one: CellLook, now_us: int) -> float | None:
    return (one.end_us or now_us) - one.start_us if one.start_us else None


_RANKS: Mapping[int, _Rank] = {
    cells_pb2.CELL_ORDER_UNSPECIFIED: lambda one, _: one.index,
    cells_pb2.CELL_ORDER_INDEX: lambda one, _: one.index,
    cells_pb2.CELL_ORDER_DURATION: _took,
    cells_pb2.CELL_ORDER_METRIC: lambda one, _: None if math.isnan(one.metric) else one.metric,
    cells_pb2.CELL_ORDER_START: lambda one, _: one.start_us or None,
    cells_pb2.CELL_ORDER_END: lambda one, _: one.end_us or None,
    cells_pb2.CELL_ORDER_STATUS: lambda one, _: one.status,
    cells_pb2.CELL_ORDER_ATTEMPT: lambda one, _: one.attempt,
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """Which page is wanted: that of a moment, from so many cells on."""

    # 0 means the moment that the request names.
    seq: int = 0
    first: int = 0


def page_of(token: str) -> Page:
    """Return the page that a token stands for.

    Raises:
        InvalidValue: it is none of such a list.
    """
    if not token:
        return Page()
    try:
        seq, first = map(int, base64.urlsafe_b64decode(token.encode()).decode().split(":"))
    except (binascii.Error, ValueError) as error:
        raise InvalidValue(
            f"page token {token[:80]!r}: use the next_page_token of an answer as it is"
        ) from error
    return Page(seq=seq, first=first)


def listed(
    live: LiveRun, request: cells_pb2.ListCellsRequest, page: Page, now_us: int
) -> cells_pb2.ListCellsResponse:
    """One page of the cells that match.

    Raises:
        NotFound: there is no such foreach.
    """
    block = block_at(live.state, request.block)
    look = Look(block=request.block, node=request.node, metric=request.metric)
    indexes = sorted(set(request.indexes)) or range(max(block.count, len(block.cells)))
    looks = [
        look_at(block, index, look)
        for index in indexes
        if index < max(block.count, len(block.cells))
    ]
    chosen = [one for one in looks if _matches(one, block, request)]
    rank = _RANKS[request.order]
    ranked = [(rank(one, now_us), one) for one in chosen]
    sign = -1 if request.descending else 1
    ranked.sort(key=lambda each: (each[0] is None, sign * (each[0] or 0), each[1].index))
    last = page.first + (request.page_size or _PAGE)
    token = f"{live.state.seq}:{last}" if last < len(ranked) else ""
    return cells_pb2.ListCellsResponse(
        seq=live.state.seq,
        cells=[_shown(one, block) for _, one in ranked[page.first : last]],
        matches=len(ranked),
        next_page_token=base64.urlsafe_b64encode(token.encode()).decode(),
    )


def _matches(one: CellLook, block: BlockState, request: cells_pb2.ListCellsRequest) -> bool:
    if request.statuses and one.status not in request.statuses:
        return False
    if not request.text:
        return True
    if one.cell is None:
        return False
    wanted = request.text.lower()
    return wanted in _key(one, block).lower() or wanted in one.cell.item_json.lower()


def _key(one: CellLook, block: BlockState) -> str:
    """Return what stands between the brackets of the cell's path."""
    return one.cell.path[len(block.path) + 1 : -1] if one.cell is not None else ""


def _shown(one: CellLook, block: BlockState) -> cells_pb2.CellView:
    item = one.cell.item_json if one.cell is not None else ""
    return cells_pb2.CellView(
        index=one.index,
        key=_key(one, block),
        path=one.cell.path if one.cell is not None else "",
        item_json=item[:_ITEM_CHARACTERS],
        item_cut=len(item) > _ITEM_CHARACTERS,
        status=one.status,  # type: ignore[arg-type]
        attempt=one.attempt,
        start_time=timestamp(one.start_us),
        end_time=timestamp(one.end_us),
        metric=None if math.isnan(one.metric) else one.metric,
        error=one.error,
        node_path=one.node_path,
    )
