"""ModelService over gRPC: translation to the registry and publications."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, TypeAlias

import structlog
from google.protobuf import timestamp_pb2
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from kaon_artifacts.errors import ArtifactError, StoreUnavailable
from kaon_publisher.announcing import Notifier
from kaon_publisher.errors import ModelRejected
from kaon_publisher.publishing import (
    Publishing,
    check_name,
    check_request,
    named_artifacts,
    payload_digest,
)
from kaon_publisher.store.registry import ModelStore
from kaon_service import principal
from kaon_service.access.credentials import Forbidden
from kaon_service.page_tokens import Window, window
from kaon_service.roles import Kind
from kaon_telemetry.metrics import PublisherMetrics
from kaon_wire.errors import InvalidValue, KaonError, NotFound
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

log = structlog.get_logger(__name__)

# Seconds between watchers' reads for announcements of other processes.
LOOK_SECONDS = 1.0


# Returns those of the digests of which a tenant does not have the artifacts.
Lacks: TypeAlias = Callable[[str, Collection[str]], Awaitable[Sequence[str]]]


class ModelServicer(model_pb2_grpc.ModelServiceServicer):
    """Publishes, lists and announces models."""

    def __init__(
        self,
        *,
        store: ModelStore,
        publishing: Publishing,
        notifier: Notifier,
        lacks: Lacks | None = None,
        now_us: Callable[[], int] | None = None,
        metrics: PublisherMetrics | None = None,
    ) -> None:
        self._metrics = metrics or PublisherMetrics(CollectorRegistry())
        self._store = store
        self._publishing = publishing
        self._notifier = notifier
        # None: without authentication everybody has everything.
        self._lacks = lacks
        self._now_us = now_us or (lambda: time.time_ns() // 1000)

    async def PublishModel(  # noqa: N802
        self, request: model_pb2.PublishModelRequest, context: Any
    ) -> AsyncIterator[model_pb2.PublishModelResponse]:
        """Publish a model and stream the stages of its publication; rejections end the stream with STAGE_REJECTED."""
        tenant, began = principal.current().tenant, time.monotonic()
        outcome = "interrupted"
        try:
            async for response in self._publish(tenant, request):
                yield response
            outcome = "announced"
            self._metrics.publication_seconds.observe(time.monotonic() - began)
        except (KaonError, SQLAlchemyError) as error:
            if not _rejects(error):
                outcome = "failed"
                raise
            outcome = "rejected"
            log.info("model rejected", model=request.model, reason=str(error))
            yield model_pb2.PublishModelResponse(stage=model_pb2.STAGE_REJECTED, message=str(error))
        finally:
            self._metrics.publications.labels(outcome).inc()

    async def _publish(
        self, tenant: str, request: model_pb2.PublishModelRequest
    ) -> AsyncIterator[model_pb2.PublishModelResponse]:
        check_name("tenant", tenant)
        _check_run(request)
        check_request(request)
        key, payload = request.idempotency_key, payload_digest(request)
        known = await asyncio.to_thread(self._store.published, tenant, key, payload)
        if known is None:
            foreign = await self._foreign_artifacts(tenant, request)
            stages = self._publishing.prepare(tenant, request, foreign)
            record = None
            while (response := await asyncio.to_thread(_next, stages)) is not None:
                yield response
                record = response.version if response.HasField("version") else record
            assert record is not None
            known = await asyncio.to_thread(
                self._store.announce, record, key, payload, self._now_us()
            )
            self._notifier.notify()
        yield model_pb2.PublishModelResponse(
            stage=model_pb2.STAGE_ANNOUNCED,
            message=f"{known.model} version {known.version}",
            version=known,
        )

    async def _foreign_artifacts(
        self, tenant: str, request: model_pb2.PublishModelRequest
    ) -> frozenset[str]:
        """Return those artifacts in the lineage that a tenant does not have; it has the one that it publishes.

        Knowing a digest gives nothing, and keeps nothing.

        Raises:
            NotFound: The tenant does not have it, whether or not there is such an artifact.
            Unavailable: The coordinator, which knows, does not answer.
        """
        if self._lacks is None:
            return frozenset()
        asked = {request.artifact_digest, *named_artifacts(request)}
        lacking = frozenset(await self._lacks(tenant, sorted(asked)))
        if request.artifact_digest in lacking:
            raise NotFound(f"there is no artifact {request.artifact_digest}")
        return lacking

    async def ListModels(  # noqa: N802
        self, request: model_pb2.ListModelsRequest, context: Any
    ) -> model_pb2.ListModelsResponse:
        """Return all versions of a model, or the newest version of each model."""
        wanted, tenant = _window(request), principal.current().tenant
        found = await asyncio.to_thread(
            self._store.versions, tenant, request.model, wanted.after, wanted.limit
        )
        versions, token = wanted.cut(
            found, lambda each: str(each.version) if request.model else each.model
        )
        current = {
            name: await asyncio.to_thread(self._store.current, tenant, name)
            for name in {version.model for version in versions}
        }
        return model_pb2.ListModelsResponse(
            versions=versions, current=current, next_page_token=token
        )

    async def GetModel(  # noqa: N802
        self, request: model_pb2.GetModelRequest, context: Any
    ) -> model_pb2.GetModelResponse:
        """Return one version of a model with its pickups."""
        version, pickups = await asyncio.to_thread(
            self._store.version, principal.current().tenant, request.model, request.version
        )
        shown = [
            model_pb2.Pickup(consumer=each.consumer, time=_stamp(each.time_us)) for each in pickups
        ]
        current = await asyncio.to_thread(
            self._store.current, principal.current().tenant, request.model
        )
        return model_pb2.GetModelResponse(version=version, pickups=shown, current=current)

    async def WatchModels(  # noqa: N802
        self, request: model_pb2.WatchModelsRequest, context: Any
    ) -> AsyncIterator[model_pb2.WatchModelsResponse]:
        """Stream announcements after a cursor, live."""
        tenant, cursor = principal.current().tenant, request.after_cursor
        if cursor < 0:
            cursor = await asyncio.to_thread(self._store.acknowledged, tenant, request.consumer)
        with self._metrics.watchers.track_inprogress():
            while True:
                found = await asyncio.to_thread(
                    self._store.announcements, tenant, cursor, request.model
                )
                for announcement in found:
                    cursor = announcement.cursor
                    yield model_pb2.WatchModelsResponse(announcement=announcement)
                if not found:
                    await self._notifier.wait(LOOK_SECONDS)

    async def AcknowledgeModel(  # noqa: N802
        self, request: model_pb2.AcknowledgeModelRequest, context: Any
    ) -> model_pb2.AcknowledgeModelResponse:
        """Record that a consumer has picked up announcements up to a cursor."""
        await asyncio.to_thread(
            self._store.acknowledge,
            principal.current().tenant,
            request.consumer,
            request.cursor,
            self._now_us(),
        )
        return model_pb2.AcknowledgeModelResponse()

    async def PromoteModel(  # noqa: N802
        self, request: model_pb2.PromoteModelRequest, context: Any
    ) -> model_pb2.PromoteModelResponse:
        """Make a version the current one and announce it."""
        announcement = await self._switch(
            partial(
                self._store.promote, principal.current().tenant, request.model, request.version
            ),
            request.reason,
        )
        return model_pb2.PromoteModelResponse(announcement=announcement)

    async def RollbackModel(  # noqa: N802
        self, request: model_pb2.RollbackModelRequest, context: Any
    ) -> model_pb2.RollbackModelResponse:
        """Make the previous version the current one and announce it."""
        announcement = await self._switch(
            partial(
                self._store.roll_back,
                principal.current().tenant,
                request.model,
                request.from_version,
            ),
            request.reason,
        )
        return model_pb2.RollbackModelResponse(announcement=announcement)

    async def _switch(
        self, change: Callable[..., model_pb2.Announcement], reason: str
    ) -> model_pb2.Announcement:
        """Apply a change of the current version and wake the watchers."""
        call = partial(change, principal=principal.current().name, reason=reason)
        announcement = await asyncio.to_thread(call, self._now_us())
        self._notifier.notify()
        version = announcement.version
        log.info(
            "current version announced",
            model=version.model,
            version=version.version,
            kind=announcement.kind,
        )
        return announcement


def _check_run(request: model_pb2.PublishModelRequest) -> None:
    """Check that a runner publishes for the run whose lease it has shown.

    Raises:
        Forbidden: It names another run.
    """
    caller = principal.current()
    if caller.kind is Kind.RUNNER and request.lineage.run_id != caller.run_id:
        raise Forbidden("lineage.run_id: a runner publishes for the run whose lease it shows")


def _next(
    stages: Iterator[model_pb2.PublishModelResponse],
) -> model_pb2.PublishModelResponse | None:
    return next(stages, None)


def _rejects(error: Exception) -> bool:
    """Tell whether an equal request would fail again: the model or an artifact does not meet its requirements."""
    return isinstance(error, ModelRejected | ArtifactError) and not isinstance(
        error, StoreUnavailable
    )


def _stamp(time_us: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def _window(request: model_pb2.ListModelsRequest) -> Window:
    """Return the page that is asked for.

    Raises:
        InvalidValue: The token is none of such a list.
    """
    wanted = window(request.page_size, request.page_token)
    is_number = wanted.after.isascii() and wanted.after.isdigit() and len(wanted.after) < 19
    if request.model and wanted.after and not is_number:
        raise InvalidValue("page_token: is of another list; use that of an answer to this request")
    return wanted
