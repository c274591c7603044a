"""The state of a run goes with the last reference to it, and not when the collector passes."""

from __future__ import annotations

import gc
from collections import Counter

from kaon_coordinator.engine.state.state import BlockState, ScopeState, StepState
from kaon_coordinator.shell.gc_tuning import paused_collection

from .build import chain, for_each, literal, output, repeat, step, workflow
from .driver import Driver

_PARTS = (StepState, BlockState, ScopeState)


def _parts() -> Counter[type]:
    return Counter(type(each) for each in gc.get_objects() if type(each) in _PARTS)


def _played() -> Driver:
    body = chain(
        step("a"),
        for_each("f", literal([1, 2, 3]), chain(step("b"), step("c", x=output("b")))),
        repeat("r", chain(step("e")), literal(True)),
        step("g"),
    )
    driver = Driver(workflow(body), lambda inputs: {"out": 1})
    driver.run()
    return driver


def test_nothing_of_an_ended_run_is_left_to_the_collector() -> None:
    gc.collect()
    with paused_collection():
        before = _parts()
        driver = _played()
        held = _parts() - before
        assert all(held[kind] for kind in _PARTS)
        del driver
        assert not _parts() - before
