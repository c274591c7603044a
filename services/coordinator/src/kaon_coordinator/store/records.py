"""What goes into the store and comes out of it. Times are microseconds since the epoch, 0 when they have not come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2

NO_LABELS: Mapping[str, str] = MappingProxyType({})


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
    priority: int = 0
    # The run and its sub-workflow block that this run is a part of, and how many runs are around it.
    parent_run_id: str = ""
    parent_path: str = ""
    depth: int = 0
    # The run and event whose state this one begins with, and the blocks that begin anew all the same.
    fork_run_id: str = ""
    fork_seq: int = 0
    fork_reset: Sequence[str] = ()
    # W3C trace context of whoever submits it; empty when there is none.
    trace_parent: str = ""
    # What made it when nobody submitted it by hand, such as "schedule:nightly".
    origin: str = ""
    # What its submitter attached to it, by name.
    labels: Mapping[str, str] = field(default_factory=dict)


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
    # See `NewRun`.
    parent_run_id: str = ""
    parent_path: str = ""
    depth: int = 0
    fork_run_id: str = ""
    fork_seq: int = 0
    origin: str = ""
    # What its submitter attached to it, by name.
    labels: Mapping[str, str] = field(default_factory=dict)
    # What its submission has put into the inbox; None in a record that was read.
    start: InboxRow | None = field(default=None, compare=False)

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
class Message:
    """A command from one run's owner for another run. It becomes an inbox row, wherever that run belongs."""

    run_id: str
    command: command_pb2.RunCommand
    now_us: int
    # The run that owes it; empty when it is a schedule.
    sender: str = ""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """Something that its owner does not touch any more, because nothing could be decided or written for it."""

    # "run" or "schedule".
    kind: str
    # Empty for a run.
    tenant: str
    # The run's id, or the schedule's name.
    name: str
    # Its partition.
    partition: int
    # Stands in a coordinator's log with the stack.
    reference: str
    # What happened, for people.
    reason: str
    time_us: int


@dataclass(frozen=True, kw_only=True)
class Memo:
    """The outputs of an execution, for equal executions."""

    tenant: str
    # Digest of type, code, settings, environment and inputs.
    key: str
    # Canonical JSON by output name.
    outputs: Mapping[str, str]
    # The execution.
    run_id: str
    path: str
    time_us: int


@dataclass(frozen=True, kw_only=True)
class References:
    """What rows name, by the hex digits of sha256 digests."""

    # Artifacts and code bundles; also versions and others that are none.
    digests: frozenset[str]
    # Those among them that stand for values too large to travel, which may name others in their turn.
    values: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds permits: a step, or with an empty path a run, which gives back everything in it with its own."""

    run_id: str
    path: str


# Time first, then what is the same everywhere.
PermitRank: TypeAlias = tuple[int, str, str]

# One point of priority counts as so much waiting: who waits long enough has its turn, whatever comes after it.
PRIORITY_US = 600_000_000


def permit_rank(holder: Holder, priority: int, since_us: int) -> PermitRank:
    """How one that waits ranks among the others; smaller goes first."""
    return since_us - priority * PRIORITY_US, holder.run_id, holder.path


@dataclass(frozen=True, kw_only=True)
class PermitWish:
    """One permit of every key, all or none, for one holder."""

    tenant: str
    holder: Holder
    keys: frozenset[str]
    # Of those among the keys whose bound is not set in the store.
    bounds: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0
    # Since when it waits.
    since_us: int = 0

    @property
    def rank(self) -> PermitRank:
        """Smaller goes first."""
        return permit_rank(self.holder, self.priority, self.since_us)


@dataclass(frozen=True, kw_only=True)
class PermitRecord:
    """A key, and how many of its permits are taken."""

    key: str
    # 0 means without limit.
    bound: int
    taken: int


@dataclass(frozen=True, kw_only=True)
class ScheduleRecord:
    """A schedule as it stands. The definition belongs to the reader of the record alone."""

    tenant: str
    # The partition whose owner submits its runs.
    partition: int
    definition: schedule_pb2.Schedule
    # When it must be looked at next; 0 means always.
    next_us: int
    # Canonical JSON of what its owner must not forget.
    state: str
    # Raised by every change.
    revision: int
    create_us: int

    @property
    def name(self) -> str:
        """Its name, unique per tenant."""
        return self.definition.name


@dataclass(frozen=True, kw_only=True)
class ScheduleStep:
    """What the owner of a schedule has decided: written whole, if nobody has changed the schedule meanwhile."""

    # As it was read.
    schedule: ScheduleRecord
    next_us: int
    state: str
    runs: Sequence[NewRun] = ()
    messages: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """A history event, serialized deterministically: stored and published as it is."""

    run_id: str
    seq: int
    data: bytes


def encode_event(event: history_pb2.HistoryEvent) -> EncodedEvent:
    """The event as it is stored."""
    return EncodedEvent(event.run_id, event.seq, event.SerializeToString(deterministic=True))


@dataclass(frozen=True, kw_only=True)
class PartitionBatch:
    """What the owner of a partition has decided, and wants durable before anything of it leaves."""

    partition: int
    # The fencing token that `claim_partition` gave.
    epoch: int
    # New events; each run's in the order of their seq, following on the newest one stored.
    history: Sequence[history_pb2.HistoryEvent | EncodedEvent] = ()
    # Every run whose history grew, and every step and block that changed.
    runs: Sequence[RunRow] = ()
    steps: Mapping[str, Sequence[StepRow]] = field(default_factory=dict)
    blocks: Mapping[str, Sequence[BlockRow]] = field(default_factory=dict)
    # By run: paths of steps and blocks that are there no more. Dropped before the others are written.
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Runs of sub-workflow blocks, stored with their start commands.
    new_runs: Sequence[NewRun] = ()
    # What this partition's runs owe others.
    messages: Sequence[Message] = ()
    memos: Sequence[Memo] = ()
    # Whose permits are given back.
    released: Sequence[Holder] = ()
    # Commands that are done with, whatever came of them.
    applied_inbox: Sequence[int] = ()
    # By run: up to which seq its history has been published and acknowledged. A mark never goes back.
    published: Mapping[str, int] = field(default_factory=dict)
    # Runs that the next owners must not touch.
    set_aside: Sequence[SetAside] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run after the event `row.seq`, as its rows."""

    row: RunRow
    # Both in order of their creation.
    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """Archived lines of one lease that arrived together."""

    # Ascends in the order of arrival; read on after it.
    chunk_id: int
    key: step_pb2.StepKey
    incarnation: str
    # A serialized `kaonapi.log.v1.LogLines`.
    payload: bytes
    # The first and the last number of the lease that are left out between its head and its tail, the last one lower when there is
    # none; None while it has no tail.
    left_out: tuple[int, int] | None
