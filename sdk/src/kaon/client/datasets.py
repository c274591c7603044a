"""The client's side of datasets: what updates them, and what their updates start."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc

from kaon.client.calling import Caller
from kaon_wire import bounds, canonical
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc

_D = dataset_pb2
_PAGE = 200


class Datasets:
    """`Client.datasets` is one. Errors are those of `Client`."""

    def __init__(self, caller: Caller, channel: grpc.Channel) -> None:
        self._caller = caller
        self._stub = dataset_pb2_grpc.DatasetServiceStub(channel)

    def list(self) -> Sequence[dataset_pb2.Dataset]:
        """All datasets of the tenant that were ever updated, by name."""
        return self._caller.whole(self._stub.ListDatasets, _D.ListDatasetsRequest()).datasets

    def get(self, name: str) -> dataset_pb2.Dataset:
        """One dataset, with the steps that update it and the schedules that wait for it."""
        return self._caller.call(self._stub.GetDataset, _D.GetDatasetRequest(name=name)).dataset

    def updates(
        self, name: str, partition: str | None = None
    ) -> Iterator[dataset_pb2.DatasetUpdate]:
        """Yield the updates of a dataset, the newest first.

        Args:
            name: the dataset's.
            partition: only those of this partition; None means all, "" those of the dataset as a whole.
        """
        request = bounds.made(_D.ListDatasetUpdatesRequest, name=name, page_size=_PAGE)
        if partition is not None:
            request.partition = partition
        for page in self._caller.pages(self._stub.ListDatasetUpdates, request):
            yield from page.updates

    def record(
        self,
        name: str,
        partition: str = "",
        outputs: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> dataset_pb2.RecordDatasetUpdateResponse:
        """Tell of an update that no step has made; schedules that wait for the dataset start runs.

        Args:
            name: the dataset's.
            partition: which part of it; empty means the dataset as a whole.
            outputs: what triggers see as `event.outputs`.
            key: idempotency key: a second call with it makes no second update.
        """
        # With a key of its own a call that is tried again cannot make a second update.
        request = bounds.made(
            _D.RecordDatasetUpdateRequest,
            name=name,
            partition=partition,
            outputs_json={each: canonical.dumps(value) for each, value in (outputs or {}).items()},
            idempotency_key=key or uuid.uuid4().hex,
        )
        return self._caller.call(self._stub.RecordDatasetUpdate, request)
