"""Bounds that keep one run from harming the others. Exceeding one is an error that names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the engine."""

    # Cells of one foreach.
    foreach_items: int = 100_000
    # Bytes of one value output kept inline; larger values belong into an artifact.
    inline_output_bytes: int = 65_536
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


DEFAULT = Limits()
