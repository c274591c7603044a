"""The attempts that the service tells are enough to know how every step stood after every event.

The page folds them while somebody drags the scrubber; its own test reads the same file.
"""

from __future__ import annotations

import base64
import random
from collections import Counter

import pytest

from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.view.columns import from_u32
from kaon_coordinator.view.span_page import page
from kaon_coordinator.view.spans import Spans
from kaonapi.view.v1 import run_view_pb2

from ..engine.test_golden import GOLDEN
from ..engine.test_random_runs import play
from .fold_vectors import VECTORS, counted, text, vectors


def test_the_file_holds_what_the_golden_histories_give() -> None:
    assert VECTORS.read_text() == text(), "write it anew: see fold_vectors.py"


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN))
def test_folded_attempts_are_the_state_after_every_event(name: str) -> None:
    vector = vectors()[name]
    told = run_view_pb2.GetSpansResponse.FromString(base64.b64decode(vector["spans"]))
    for seq, counts in vector["moments"].items():
        assert fold(told, seq) == counts, seq


@pytest.mark.parametrize("seed", range(12))
def test_folded_attempts_are_the_state_of_runs_with_retries_and_resets(seed: int) -> None:
    machine = play(seed, commands=0.15, retries=2)
    state = RunState(run_id="r", workflow=compile_workflow(machine.definition, "v1"))
    spans, moments = Spans(), {}
    for event in machine.history:
        evolve(state, event)
        spans.fold([event])
        moments[event.seq] = counted(state, spans)
    told = page(spans, run_view_pb2.GetSpansRequest(), 0)
    for seq in random.Random(seed).sample(sorted(moments), min(40, len(moments))):
        assert fold(told, seq) == moments[seq], seq


def fold(told: run_view_pb2.GetSpansResponse, seq: int) -> list[str]:
    """Do what the page does."""
    ready, step = from_u32(told.ready_seq), from_u32(told.step)
    leased, end = from_u32(told.leased_seq), from_u32(told.end_seq)
    node = memoryview(told.node).cast("H")
    stands: dict[int, tuple[int, int, int]] = {}
    for at in range(told.count):
        if ready[at] > seq:
            break
        stands[step[at]] = _newest(ready[at], leased[at], end[at], told.outcome[at], seq, node[at])
    for at, when in enumerate(from_u32(told.change_seq)):
        number = from_u32(told.change_step)[at]
        known = stands.get(number)
        if when <= seq and known is not None and when >= known[0]:
            stands[number] = (when, told.change_status[at], known[2])
    counts = Counter((told.nodes[at], status) for _, status, at in stands.values() if status)
    return [f"{name} {status} {count}" for (name, status), count in sorted(counts.items())]


def _newest(
    ready: int, leased: int, end: int, outcome: int, seq: int, node: int
) -> tuple[int, int, int]:
    if end and ready + end <= seq:
        return ready + end, outcome, node
    if leased and ready + leased <= seq:
        return ready + leased, int(t.RUNNING), node
    return ready, int(t.READY), node
