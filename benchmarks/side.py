"""What is measured: something that executes the shapes and writes the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Side(Protocol):
    """Ours or the peer, started."""

    # Shown in tables: "kaon synchronous", "celery".
    name: str

    def submit(
        self,
        shape: str,
        ledger: Path,
        runs: Sequence[str],
        count: int = 1,
        *,
        together: bool = False,
    ) -> int:
        """Submits runs of a shape at once, each with its id, and returns the nanoseconds since the epoch at which that began.

        Args:
            shape: "trigger", "three", "chain", "fan-out" or "foreach".
            count: how many steps a fan-out or foreach has.
            together: all runs with one call, not each with one of its own.
        """

    def call(self) -> None:
        """Makes one call that reads, where the side has such calls."""

    def settle(self) -> None:
        """Returns when all submitted runs have ended as they should; raises when one has not."""

    def parts(self) -> Mapping[str, Sequence[int]]:
        """The first processes of each part. The broker's part is called "broker"."""
