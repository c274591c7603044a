"""What goes into the store and comes out of it. Times are microseconds since the epoch, 0 when they have not come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kaon_coordinator.engine.rows import BlockRow, RunRow, StepRow
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2


@dataclass(frozen=True, kw_only=True)
class WorkflowRecord:
    """One registered version of a workflow. The definition belongs to the reader of the record alone."""

    tenant: str
    name: str
    # "sha256:..." of the definition.
    version: str
    definition: definition_pb2.WorkflowDefinition
    # When this version was registered first.
    create_us: int


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that someone submits. Its parameters are checked and complete."""

    run_id: str
    tenant: str
    workflow: str
    version: str
    # Where the run belongs for as long as it lives.
    partition: int
    # Canonical JSON by parameter name, defaults filled in.
    params: Mapping[str, str]
    submitter: str
    # Unique per tenant and workflow; empty: every submission makes a run.
    idempotency_key: str
    now_us: int


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run: what was submitted, and how it stands."""

    tenant: str
    workflow: str
    version: str
    partition: int
    # Canonical JSON by parameter name, defaults filled in.
    params: Mapping[str, str]
    submitter: str
    create_us: int
    # What its owner keeps up to date.
    row: RunRow
    # Up to which seq its history has been published.
    published_seq: int

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.row.run_id


@dataclass(frozen=True, kw_only=True)
class LoadedRun(RunRecord):
    """A run with everything that its owner needs to go on with it."""

    # Both in order of their creation.
    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """Some runs, newest first."""

    runs: Sequence[RunRecord]
    # Asks for the next page; empty when there is none.
    next_page_token: str


@dataclass(frozen=True, kw_only=True)
class InboxRow:
    """A command that its run's owner has not applied yet."""

    inbox_id: int
    partition: int
    run_id: str
    command: command_pb2.RunCommand
    create_us: int


@dataclass(frozen=True, kw_only=True)
class PartitionBatch:
    """What the owner of a partition has decided, and wants durable before anything of it leaves."""

    partition: int
    # The fencing token that `claim_partition` gave.
    epoch: int
    # New events; each run's in the order of their seq, following on the newest one stored.
    history: Sequence[history_pb2.HistoryEvent] = ()
    # Every run whose history grew, and every step and block that changed.
    runs: Sequence[RunRow] = ()
    steps: Mapping[str, Sequence[StepRow]] = field(default_factory=dict)
    blocks: Mapping[str, Sequence[BlockRow]] = field(default_factory=dict)
    # Commands that are done with, whatever came of them.
    applied_inbox: Sequence[int] = ()
    # By run: up to which seq its history has been published and acknowledged. A mark never goes back.
    published: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """Archived lines of one lease that arrived together."""

    # Ascends in the order of arrival; read on after it.
    chunk_id: int
    key: step_pb2.StepKey
    incarnation: str
    # A serialized `kaonapi.log.v1.LogLines`.
    payload: bytes
