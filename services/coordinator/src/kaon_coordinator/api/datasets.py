"""DatasetService: the updates of datasets, who makes them, and what they start."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from kaon_coordinator.api.submission import Submission
from kaon_coordinator.schedules.combining import leaves
from kaon_coordinator.store.base import DatasetRecord, DatasetUpdate, KeptUpdate, ScheduleRecord
from kaon_coordinator.store.protocols.dataset_store import DatasetStore
from kaon_coordinator.store.protocols.schedule_store import ScheduleStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import page_tokens, principal
from kaon_wire.definitions.names import NAME, NAME_RULE
from kaon_wire.definitions.policies import partition_problem
from kaon_wire.errors import InvalidValue, NotFound
from kaon_wire.packing import fill
from kaon_wire.partitioning import partition_of
from kaonapi.dataset.v1 import dataset_pb2 as p
from kaonapi.dataset.v1 import dataset_pb2_grpc

# Producers of one dataset that are shown.
_PRODUCERS = 100
# Beyond every id.
_NEWEST = 2**63 - 1


class DatasetServiceStore(DatasetStore, ScheduleStore, Protocol):
    """What the service needs of the store."""


@dataclass(frozen=True, kw_only=True)
class DatasetParts:
    """The dependencies of the service."""

    store: StoreCalls[DatasetServiceStore]
    submission: Submission
    # Called when an update was told.
    changed: Callable[[], None]


class DatasetServicer(dataset_pb2_grpc.DatasetServiceServicer):
    """Serves the methods of DatasetService for the caller's datasets."""

    def __init__(self, parts: DatasetParts) -> None:
        self._threads = parts.store
        self._store = parts.store.store
        self._submission = parts.submission
        self._changed = parts.changed

    async def ListDatasets(  # noqa: N802
        self, request: p.ListDatasetsRequest, context: Any
    ) -> p.ListDatasetsResponse:
        """Return the caller's datasets by name."""
        wanted = page_tokens.window(request.page_size, request.page_token)
        found = await self._threads.read(
            self._store.list_datasets, principal.current().tenant, wanted.after, wanted.limit
        )
        page, token = wanted.cut(found, lambda record: record.name)
        return p.ListDatasetsResponse(
            datasets=[_dataset(each) for each in page], next_page_token=token
        )

    async def GetDataset(self, request: p.GetDatasetRequest, context: Any) -> p.GetDatasetResponse:  # noqa: N802
        """Return one dataset with its producers and consumers."""
        tenant, name = principal.current().tenant, request.name
        record = await self._threads.read(self._store.find_dataset, tenant, name)
        schedules = await self._threads.read(self._store.list_schedules, tenant)
        consumers = [_consumer(each) for each in schedules if _waits_for(each, name)]
        if record is None and not consumers:
            raise _missing(name)
        dataset = p.Dataset(name=name) if record is None else _dataset(record)
        dataset.consumers.extend(consumers)
        made = await self._threads.read(self._store.dataset_producers, tenant, name, _PRODUCERS)
        dataset.producers.extend(_update(each) for each in made)
        return p.GetDatasetResponse(dataset=dataset)

    async def ListDatasetUpdates(  # noqa: N802
        self, request: p.ListDatasetUpdatesRequest, context: Any
    ) -> p.ListDatasetUpdatesResponse:
        """Return the updates of a dataset, the newest first."""
        tenant, token = principal.current().tenant, request.page_token
        before = page_tokens.place(token)[0] if token else _NEWEST
        size = request.page_size or page_tokens.LARGEST_PAGE
        part = request.partition if request.HasField("partition") else None
        found = await self._threads.read(
            self._store.list_dataset_updates, tenant, request.name, part, before, size + 1
        )
        if not found and not await self._threads.read(
            self._store.find_dataset, tenant, request.name
        ):
            raise _missing(request.name)
        page = found[:size]
        more = page_tokens.made(page[-1].update_id, "") if len(found) > size else ""
        return p.ListDatasetUpdatesResponse(
            updates=[_update(each) for each in page], next_page_token=more
        )

    async def RecordDatasetUpdate(  # noqa: N802
        self, request: p.RecordDatasetUpdateRequest, context: Any
    ) -> p.RecordDatasetUpdateResponse:
        """Store an update that no step has made."""
        caller, outputs = principal.current(), dict(request.outputs_json)
        self._check(request)
        await self._submission.check_update(caller, outputs.values())
        await self._submission.renewal.named_in(request.SerializeToString())
        told = DatasetUpdate(
            tenant=caller.tenant,
            dataset=request.name,
            part=request.partition,
            key=f"told:{request.idempotency_key or uuid.uuid4().hex}",
            time_us=self._submission.now_us(),
            outputs=outputs,
            teller=caller.name,
        )
        place = partition_of(f"{caller.tenant}/{request.name}", self._submission.partitions)
        kept, created = await self._threads.run(self._store.record_dataset_update, place, told)
        self._changed()
        return p.RecordDatasetUpdateResponse(update=_update(kept), created=created)

    def _check(self, request: p.RecordDatasetUpdateRequest) -> None:
        if not NAME.match(request.name):
            raise InvalidValue(f"name {request.name[:80]!r}: {NAME_RULE}")
        if problem := partition_problem(request.partition):
            raise InvalidValue(f"partition {request.partition[:80]!r}: {problem}")
        if problem := self._submission.limits.too_large(dict(request.outputs_json)):
            raise InvalidValue(f"outputs_json: {problem}")


def _missing(name: str) -> NotFound:
    return NotFound(
        f"there is no dataset {name!r}: it was never updated, and no schedule waits for it"
    )


def _waits_for(schedule: ScheduleRecord, dataset: str) -> bool:
    alone = [schedule.definition, *(leaf.schedule for leaf in leaves(schedule.definition))]
    return any(dataset == each.dataset_updated.dataset != "" for each in alone)


def _consumer(schedule: ScheduleRecord) -> p.DatasetConsumer:
    return p.DatasetConsumer(schedule=schedule.name, workflow=schedule.definition.workflow)


def _dataset(record: DatasetRecord) -> p.Dataset:
    return p.Dataset(name=record.name, updates=record.updates, newest=_update(record.newest))


def _update(kept: KeptUpdate) -> p.DatasetUpdate:
    update = p.DatasetUpdate(
        update_id=kept.update_id,
        dataset=kept.dataset,
        partition=kept.part,
        run_id=kept.run_id,
        workflow=kept.workflow,
        version=kept.version,
        path=kept.path,
        by=kept.teller,
        started_run_ids=kept.started,
    )
    update.time.FromMicroseconds(kept.time_us)
    fill(update.outputs_json, kept.outputs)
    return update
