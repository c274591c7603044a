"""Records of the store. Times are microseconds since the epoch, 0 when unset."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.store.strategies import Refusal, Turn
from kaonapi.run.v1 import command_pb2, history_pb2, run_pb2
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
    # When this version was first registered.
    create_us: int


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A submitted run. Its parameters are checked and complete."""

    run_id: str
    tenant: str
    workflow: str
    version: str
    # The run's partition, which never changes.
    partition: int
    # Canonical JSON by parameter name, defaults filled in.
    params: Mapping[str, str]
    submitter: str
    # Unique per tenant and workflow; empty: every submission makes a run.
    idempotency_key: str
    now_us: int
    priority: int = 0
    # The parent run, its sub-workflow block, and the nesting depth.
    parent_run_id: str = ""
    parent_path: str = ""
    depth: int = 0
    # The run whose turn submits it, parent or not; not stored.
    begun_by: str = ""
    # The run and event whose state this one begins with, and the blocks that begin anew nevertheless.
    fork_run_id: str = ""
    fork_seq: int = 0
    fork_reset: Sequence[str] = ()
    # What had failed begins anew, too.
    fork_failed: bool = False
    # W3C trace context of the submission; empty when there is none.
    trace_parent: str = ""
    # The origin of a run that no person submitted, such as "schedule:nightly".
    origin: str = ""
    # What its submitter attached to it, by name.
    labels: Mapping[str, str] = field(default_factory=dict)
    # What of its workflow it runs: names of blocks that run alone, and of those that run with what is before them.
    only: Sequence[str] = ()
    until: Sequence[str] = ()
    # For which a schedule or backfill made the run, microseconds since the epoch; 0 for others.
    scheduled_us: int = 0
    # Of the same workflow; None without one, or when the workflow does not use run_info().
    previous: run_pb2.PreviousRun | None = None
    # Parameters whose values were computed, because none were given.
    computed: Collection[str] = ()
    # The updates of datasets because of which a schedule made the run.
    because_of: Sequence[int] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run: its submission and its current state."""

    tenant: str
    workflow: str
    version: str
    partition: int
    # Canonical JSON by parameter name, defaults filled in.
    params: Mapping[str, str]
    submitter: str
    create_us: int
    # The part that its owner updates.
    row: RunRow
    # The seq up to which its history is published.
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
    # The inbox row of its submission; None in a record that was read.
    start: InboxRow | None = field(default=None, compare=False)

    @property
    def run_id(self) -> str:
        """Return the run's id."""
        return self.row.run_id


@dataclass(frozen=True, kw_only=True)
class LoadedRun(RunRecord):
    """A run with everything that its owner needs to continue it."""

    # Both in order of creation.
    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """A page of runs, newest first."""

    runs: Sequence[RunRecord]
    # The token of the next page; empty when there is none.
    next_page_token: str


@dataclass(frozen=True, kw_only=True)
class RunSelection:
    """Which runs are listed."""

    # Empty: of any workflow; 0: of any status.
    workflow: str = ""
    status: int = 0
    # By name; an empty value matches every run that has the label.
    labels: Mapping[str, str] = field(default_factory=dict)
    # Canonical JSON by parameter name.
    params: Mapping[str, str] = field(default_factory=dict)
    # Submitted at this time or later, microseconds since the epoch.
    since_us: int = 0
    # What the id begins with.
    prefix: str = ""


ALL_RUNS = RunSelection()


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
    """A command from one run's owner for another run. It becomes an inbox row in that run's partition."""

    run_id: str
    command: command_pb2.RunCommand
    now_us: int
    # The sending run; empty when the sender is a schedule.
    sender: str = ""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A run or schedule that its owner ignores because of a fault."""

    # "run" or "schedule".
    kind: str
    # Empty for a run.
    tenant: str
    # The run's id, or the schedule's name.
    name: str
    # Its partition.
    partition: int
    # The fault's reference in a coordinator's log, next to the stack.
    reference: str
    # The reason, for people.
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
    # The execution whose memo it is.
    run_id: str
    path: str
    time_us: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A message for a channel, about one event of a run. It is stored with the event."""

    tenant: str
    run_id: str
    # The event's number.
    seq: int
    channel: str
    # Canonical JSON; `notifications/notices.py` says what is in it.
    payload: str
    time_us: int


@dataclass(frozen=True, kw_only=True)
class DatasetUpdate:
    """A dataset was updated, by a step of a run or as somebody told."""

    tenant: str
    dataset: str
    # Which part of the dataset; empty: all of it.
    part: str
    # Unique for the dataset: an update is stored once.
    key: str
    time_us: int
    # Canonical JSON by name.
    outputs: Mapping[str, str]
    # Who told, or submitted the run.
    teller: str
    # The run, the step, and what the run comes from; empty when somebody told.
    run_id: str = ""
    workflow: str = ""
    version: str = ""
    path: str = ""
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A version of a workflow whose runs a signal to all could not reach."""

    workflow: str
    version: str
    runs: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class SentSignal:
    """A signal to all runs of a tenant."""

    tenant: str
    # The sender's idempotency key, or a fresh one: a signal is sent once.
    key: str
    name: str
    payload_digest: str
    requester: str
    time_us: int
    left_out: Sequence[LeftOut]
    # How many runs it has reached, and in how many of them a gate waited.
    runs: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Hearer:
    """A run that has not ended, and in which a gate waits for a signal or may still begin."""

    run_id: str
    # Canonical JSON by name.
    params: Mapping[str, str]
    waits: bool


@dataclass(frozen=True, kw_only=True)
class KeptUpdate(DatasetUpdate):
    """An update of a dataset, as it is stored."""

    update_id: int
    # Of the run, or the one that stands for the dataset when somebody told: its updates become visible in the order of their ids.
    partition: int
    # The runs that schedules have made because of it.
    started: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """What is known of a dataset."""

    name: str
    # Updates that are kept, and the newest one.
    updates: int
    newest: KeptUpdate


@dataclass(frozen=True, kw_only=True)
class DueNotice(Notice):
    """A notice that its taker must deliver, until another may take it."""

    # Deliveries that failed before.
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """What a channel has not accepted."""

    tenant: str
    channel: str
    # Notices that are given up, and those that are tried again.
    given_up: int
    waiting: int
    # Why the newest delivery failed.
    error: str


@dataclass(frozen=True, kw_only=True)
class References:
    """The digests that rows name, as hex digits of SHA-256."""

    # Artifacts and code bundles; also versions and unrelated digests.
    digests: frozenset[str]
    # Those that stand for large inputs, which may name further digests.
    values: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A holder of permits: a step, or with an empty path a run, which also releases those of its steps."""

    run_id: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Held:
    """Who holds a key of permits."""

    # By run and path.
    holders: list[Holder]
    # The smallest bound that one of them asked for; 0 means none did.
    bound: int


# Time first, then a tie-break that is the same everywhere.
PermitRank: TypeAlias = tuple[int, str, str]

# One point of priority equals so much waiting: every wish that waits long enough is served.
PRIORITY_US = 600_000_000


def permit_rank(holder: Holder, priority: int, since_us: int) -> PermitRank:
    """Return the rank of a wish; the smallest goes first."""
    return since_us - priority * PRIORITY_US, holder.run_id, holder.path


@dataclass(frozen=True, kw_only=True)
class PermitWish:
    """A wish of one holder for one permit per key, all or none."""

    tenant: str
    holder: Holder
    keys: frozenset[str]
    # Bounds of those keys whose bound is not set in the store.
    bounds: Mapping[str, int] = field(default_factory=dict)
    priority: int = 0
    # When it began to wait.
    since_us: int = 0
    # The submit strategy of its workflow, for a run.
    turn: Turn | None = None

    @property
    def rank(self) -> PermitRank:
        """Return the rank; the smallest goes first."""
        return permit_rank(self.holder, self.priority, self.since_us)


# Whether a wish is granted; a refusal when it never will be.
PermitAnswer: TypeAlias = bool | Refusal


@dataclass(frozen=True, kw_only=True)
class PermitRecord:
    """A key, and how many of its permits are taken."""

    key: str
    # 0 means no limit.
    bound: int
    taken: int


@dataclass(frozen=True, kw_only=True)
class TenantRecord:
    """A tenant that an administrator made."""

    name: str
    # False: nobody can call as this tenant.
    enabled: bool
    create_us: int
    created_by: str
    # The highest priority of its runs.
    highest_priority: int = 0
    # Topics of Kafka that its schedules may read.
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenRecord:
    """A static token, without its secret."""

    token_id: str
    # SHA-256 of the whole token, in hexadecimal digits.
    digest: str
    tenant: str
    name: str
    roles: tuple[str, ...]
    # Of `kaon_service.roles.Kind`.
    kind: str
    # The pool of a runner; empty for others.
    pool: str
    created_by: str
    create_us: int
    # 0: never.
    expire_us: int
    # 0: it was not revoked.
    revoke_us: int = 0


@dataclass(frozen=True, kw_only=True)
class TokenPage:
    """Some of a tenant's tokens."""

    tokens: Sequence[TokenRecord]
    # Empty at the end.
    next_page_token: str


@dataclass(frozen=True, kw_only=True)
class ScheduleRecord:
    """A schedule and its state. The definition belongs to the reader of the record alone."""

    tenant: str
    # The partition whose owner submits its runs.
    partition: int
    definition: schedule_pb2.Schedule
    # When it must be evaluated next; 0 means always.
    next_us: int
    # Canonical JSON of its state.
    state: str
    # Raised by every change.
    revision: int
    create_us: int

    @property
    def name(self) -> str:
        """Return its name, unique per tenant."""
        return self.definition.name


@dataclass(frozen=True, kw_only=True)
class ScheduleStep:
    """The decision about a schedule: written as a whole, if no client has changed the schedule meanwhile."""

    # As it was read.
    schedule: ScheduleRecord
    next_us: int
    state: str
    runs: Sequence[NewRun] = ()
    messages: Sequence[Message] = ()


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """A history event, serialized deterministically: stored and published in this form."""

    run_id: str
    seq: int
    data: bytes


def encode_event(event: history_pb2.HistoryEvent) -> EncodedEvent:
    """Serialize the event as stored."""
    return EncodedEvent(event.run_id, event.seq, event.SerializeToString(deterministic=True))


class KeysTaken(Exception):
    """Idempotency keys of runs that were to begin belong to earlier runs: nothing was written.

    Args:
        run_ids: The runs that were to begin.
    """

    def __init__(self, run_ids: set[str]) -> None:
        super().__init__(f"earlier runs have the keys of {', '.join(sorted(run_ids))}")
        self.run_ids = run_ids


@dataclass(frozen=True, kw_only=True)
class PartitionBatch:
    """The decisions of a partition's owner, which must be durable before any effect leaves."""

    partition: int
    # The fencing token that `claim_partition` returned.
    epoch: int
    # Submitted runs that begin with these events, and have no start command.
    begun: Sequence[NewRun] = ()
    # New events; each run's in order of seq, following its newest stored one.
    history: Sequence[history_pb2.HistoryEvent | EncodedEvent] = ()
    # Every run whose history grew, and every changed step and block.
    runs: Sequence[RunRow] = ()
    steps: Mapping[str, Sequence[StepRow]] = field(default_factory=dict)
    blocks: Mapping[str, Sequence[BlockRow]] = field(default_factory=dict)
    # By run: paths of dropped steps and blocks. Deleted before the others are written.
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Child runs, stored with their start commands.
    new_runs: Sequence[NewRun] = ()
    # Commands from this partition's runs to others.
    messages: Sequence[Message] = ()
    memos: Sequence[Memo] = ()
    # Holders whose permits are released.
    released: Sequence[Holder] = ()
    notices: Sequence[Notice] = ()
    dataset_updates: Sequence[DatasetUpdate] = ()
    # Handled commands, applied or refused.
    applied_inbox: Sequence[int] = ()
    # By run: the seq up to which its history is published and acknowledged. A mark never decreases.
    published: Mapping[str, int] = field(default_factory=dict)
    # Runs that the next owners must ignore.
    set_aside: Sequence[SetAside] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run after the event `row.seq`, as its rows."""

    row: RunRow
    # Both in order of creation.
    steps: Sequence[StepRow]
    blocks: Sequence[BlockRow]


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """Archived lines of one lease that arrived together."""

    # Ascends in order of arrival; continue reading after it.
    chunk_id: int
    key: step_pb2.StepKey
    incarnation: str
    # A serialized `kaonapi.log.v1.LogLines`.
    payload: bytes
    # The first and the last omitted number between the lease's head and tail, the last one lower when there
    # is none; None while it has no tail.
    left_out: tuple[int, int] | None
