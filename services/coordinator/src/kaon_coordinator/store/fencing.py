"""How the store refuses an owner that is none any more."""

from __future__ import annotations

from kaon_wire.errors import KaonError


class Fenced(KaonError):
    """Another process owns the partition: nothing was written, and this owner must drop it."""

    def __init__(self, partition: int, epoch: int) -> None:
        super().__init__(
            f"partition {partition}: epoch {epoch} is not the current one; another coordinator owns the partition"
        )
        self.partition = partition
