"""Gates that wait for somebody, of all runs of a tenant."""

from __future__ import annotations

from kaon_coordinator.engine.rows.row_views import block_view
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view import run_lines
from kaon_service.principal import Principal
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import runs_pb2

_PAGE = 100


def listed(
    reads: ViewReads, caller: Principal, request: runs_pb2.ListGatesRequest
) -> runs_pb2.ListGatesResponse:
    """Return the gates that a request selects. Blocks."""
    told = runs_pb2.ListGatesResponse()
    for run, row in reads.waiting_gates(caller.tenant):
        gate = block_view(row, {})
        if not _is_wanted(gate, caller, request):
            continue
        if len(told.gates) == (request.page_size or _PAGE):
            told.more = True
            break
        (line,) = run_lines.lines([run])
        told.gates.append(runs_pb2.WaitingGate(line=line, gate=gate))
    return told


def _is_wanted(
    gate: run_pb2.BlockView, caller: Principal, request: runs_pb2.ListGatesRequest
) -> bool:
    if request.kinds and gate.gate not in request.kinds:
        return False
    # A gate without roles is anybody's.
    return not (request.answerable and gate.roles and caller.roles.isdisjoint(gate.roles))
