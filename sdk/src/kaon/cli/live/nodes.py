"""What the live view knows of one step, block or cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from kaon.cli.live import paths
from kaonapi.run.v1 import run_pb2

_S = run_pb2
ENDED = frozenset(
    {
        _S.STATUS_SUCCEEDED,
        _S.STATUS_FAILED,
        _S.STATUS_SKIPPED,
        _S.STATUS_CANCELLED,
        _S.STATUS_TIMED_OUT,
        _S.STATUS_QUARANTINED,
    }
)


@dataclass(kw_only=True)
class Node:
    """A step, a block, or a cell of a block."""

    path: str
    # "step", "for_each", "repeat", "branch", "group", "gate", "sub_workflow", "cell"; "block" when nothing says more.
    kind: str
    status: run_pb2.Status.ValueType = _S.STATUS_PENDING
    attempt: int = 0
    runner: str = ""
    # Microseconds since the epoch; 0 when it has not happened.
    start_us: int = 0
    end_us: int = 0
    # 0 to 1; negative when nothing is known.
    progress: float = -1.0
    message: str = ""
    error: str = ""
    # The traceback of the error, or what else is known of it.
    details: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    lost_runners: int = 0
    # Cells that a foreach has, or iterations that a repeat may have; 0 when nothing says it.
    total: int = 0
    # It has not ended by its deadline.
    late: bool = False
    # "on failure" or "finally" for a hook.
    hook: str = ""
    # How a gate that waits can be answered.
    answer: str = ""
    # Run of a sub-workflow.
    child_run_id: str = ""
    # What the run gives, canonical JSON by name.
    outputs: dict[str, str] = field(default_factory=dict)
    # Foreach with early stopping: the best value so far and the cell that has it.
    best: tuple[float, str] | None = None
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What to call it under its parent."""
        return paths.label(self.path)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED

    def count(self, *statuses: run_pb2.Status.ValueType) -> int:
        """How many children have one of these statuses."""
        return sum(child.status in statuses for child in self.children.values())

    def end(self, status: run_pb2.Status.ValueType, error: str, time_us: int) -> None:
        """Record the end of the node."""
        self.status, self.error, self.end_us, self.answer = status, error, time_us, ""

    def open_again(self) -> None:
        """Mark the node running again, as the nodes around a restarted one are."""
        self.status, self.error, self.details, self.message, self.end_us = (
            _S.STATUS_RUNNING,
            "",
            "",
            "",
            0,
        )
        self.outputs = {}

    def clear(self) -> None:
        """Reset the node and everything in it."""
        fresh = Node(
            path=self.path,
            kind=self.kind,
            hook=self.hook,
            total=0 if self.kind == "for_each" else self.total,
        )
        self.__dict__.update(fresh.__dict__)
