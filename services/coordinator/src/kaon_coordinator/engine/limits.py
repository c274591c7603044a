"""Bounds that keep one run from harming the others. Exceeding one is an error that names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the engine."""

    # Cells of one foreach.
    foreach_items: int = 100_000
    # Cells of one foreach that run at once, whatever it asks for, and that one decision starts.
    open_cells: int = 20_000
    cells_per_decision: int = 500
    # Bytes of one value output kept inline; larger values belong into an artifact.
    inline_output_bytes: int = 65_536
    # Bytes of one input that travels with its step; a larger one (the joined results of many cells) is kept as an artifact.
    inline_input_bytes: int = 65_536
    # Bytes of all parameters of a run.
    params_bytes: int = 262_144
    # Runners that may be lost while they hold a step, before the step is suspected of killing them.
    lost_runners: int = 3
    # Attempts that may fail by the platform's fault.
    platform_failures: int = 5
    # Bytes of an error's message and of its details.
    error_bytes: int = 8_192
    # Bytes of a definition, and depth of blocks within blocks.
    definition_bytes: int = 1_048_576
    nesting_depth: int = 16
    # Passes of one repeat.
    iterations: int = 10_000
    # Runs around a run of a sub-workflow.
    run_depth: int = 10
    # Signals of one name that wait for a gate, or that one step has got.
    buffered_signals: int = 1_000
    # Microseconds between the loss of an exclusive step's holder and the earliest start of the next: one lease, after which the old
    # one stops by itself, and the grace that its supervisor gives it.
    exclusive_wait_us: int = 20_000_000

    def too_large(self, values: Mapping[str, str]) -> str:
        """Which values (canonical JSON by name) are too large to be kept inline; empty when none is."""
        bound = self.inline_output_bytes
        large = {name: size for name, text in sorted(values.items()) if (size := _bytes(text, bound)) > bound}
        if not large:
            return ""
        told = ", ".join(f"{name!r} has {size} bytes" for name, size in large.items())
        return f"{told}; the limit inline_output_bytes is {bound}: use an artifact"


def _bytes(text: str, bound: int) -> int:
    """How many bytes a text has; text that cannot exceed the bound, whatever is in it, need not be encoded."""
    return len(text) if len(text) * 4 <= bound else len(text.encode())


DEFAULT = Limits()
