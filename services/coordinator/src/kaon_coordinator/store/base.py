"""The interface of the store and its guarantees.

It is put together from protocols, one for each noun (`store/protocols/`). Whoever uses the store asks for the smallest that it
needs; asyncio callers get it as `StoreCalls` of that, from the `StoreThread`.

Every call is one transaction: done whole or not at all, and durable when it returns (with `relaxed` durability the newest
transactions may be lost when the machine, not the process, dies; their order holds). Calls block, and may come from several
threads. Whatever the database refuses for the moment is `Unavailable`: then it is not known whether the transaction took place, and
an owner must read its partition anew.
"""

from __future__ import annotations

from abc import ABC

from kaon_coordinator.store.fencing import Fenced
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.database_store import DatabaseStore
from kaon_coordinator.store.protocols.dataset_store import DatasetStore
from kaon_coordinator.store.protocols.grant_store import GrantStore
from kaon_coordinator.store.protocols.log_store import LogStore
from kaon_coordinator.store.protocols.memo_store import MemoStore
from kaon_coordinator.store.protocols.notice_store import NoticeStore
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.protocols.permit_store import PermitStore
from kaon_coordinator.store.protocols.pool_store import PoolStore
from kaon_coordinator.store.protocols.reference_store import ReferenceStore
from kaon_coordinator.store.protocols.retention_store import RetentionStore
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.schedule_store import ScheduleStore
from kaon_coordinator.store.protocols.signal_store import SignalStore
from kaon_coordinator.store.protocols.snapshot_store import SnapshotStore
from kaon_coordinator.store.protocols.submission_store import SubmissionStore
from kaon_coordinator.store.protocols.usage_store import UsageStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.records import (
    ALL_RUNS,
    NO_LABELS,
    DatasetRecord,
    DatasetUpdate,
    DueNotice,
    EncodedEvent,
    Hearer,
    Holder,
    InboxRow,
    KeptUpdate,
    KeysTaken,
    LeftOut,
    LoadedRun,
    LogChunk,
    Memo,
    Message,
    NewRun,
    Notice,
    PartitionBatch,
    PermitRecord,
    PermitWish,
    References,
    RunPage,
    RunRecord,
    RunSelection,
    ScheduleRecord,
    ScheduleStep,
    SentSignal,
    SetAside,
    Snapshot,
    TenantRecord,
    TokenPage,
    TokenRecord,
    Undelivered,
    WorkflowRecord,
    encode_event,
)

__all__ = [
    "ALL_RUNS",
    "NO_LABELS",
    "DatasetRecord",
    "DatasetUpdate",
    "DueNotice",
    "EncodedEvent",
    "encode_event",
    "Fenced",
    "InboxRow",
    "KeptUpdate",
    "KeysTaken",
    "LeftOut",
    "LoadedRun",
    "Hearer",
    "Holder",
    "LogChunk",
    "Memo",
    "Message",
    "NewRun",
    "Notice",
    "PartitionBatch",
    "PermitRecord",
    "PermitWish",
    "References",
    "RunPage",
    "RunRecord",
    "RunSelection",
    "ScheduleRecord",
    "ScheduleStep",
    "SentSignal",
    "SetAside",
    "Snapshot",
    "Store",
    "TenantRecord",
    "TokenPage",
    "TokenRecord",
    "Undelivered",
    "WorkflowRecord",
]


class Store(
    WorkflowStore,
    SubmissionStore,
    RunStore,
    SnapshotStore,
    PartitionStore,
    PoolStore,
    AsideStore,
    PermitStore,
    MemoStore,
    NoticeStore,
    DatasetStore,
    SignalStore,
    ScheduleStore,
    LogStore,
    RetentionStore,
    ReferenceStore,
    AccessStore,
    GrantStore,
    UsageStore,
    DatabaseStore,
    ABC,
):
    """What the coordinator must not forget: everything that its parts ask of the store."""
