"""WorkflowService: stores definitions and code bundles."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import structlog
from google.protobuf.message import Message

from kaon_artifacts import ArtifactMissing, ArtifactStore
from kaon_coordinator.access.grants import Grants, named
from kaon_coordinator.api import views
from kaon_coordinator.api.passed_params import passed_problems
from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.receiving import DIGEST, Receiving, check_digest
from kaon_coordinator.notifications.channels import Channels
from kaon_coordinator.problems import InvalidRequest, Problem
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.page_tokens import window
from kaon_wire import canonical
from kaon_wire.errors import NotFound
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

log = structlog.get_logger(__name__)

# Fields of a definition in which values stand as JSON.
_VALUES = {"literal_json", "default_json"}
LARGEST_BUNDLE = 256 * 1024 * 1024

# Returns the problems of a definition; empty when it is valid.
Validate = Callable[[d.WorkflowDefinition], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class WorkflowParts:
    """The dependencies of the service."""

    store: StoreCalls[WorkflowStore]
    # The storage from which runners fetch code bundles by digest.
    artifacts: ArtifactStore
    validate: Validate
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]
    quotas: Quotas
    grants: Grants
    # The channels that workflows may notify.
    channels: Channels


class WorkflowServicer(workflow_service_pb2_grpc.WorkflowServiceServicer):
    """Serves the methods of WorkflowService for the caller's workflows."""

    def __init__(self, parts: WorkflowParts) -> None:
        self._parts = parts
        self._threads = parts.store
        self._store = parts.store.store

    async def UploadBundle(  # noqa: N802
        self,
        request_iterator: AsyncIterator[workflow_service_pb2.UploadBundleRequest],
        context: Any,
    ) -> workflow_service_pb2.UploadBundleResponse:
        """Store a code bundle that arrives in pieces; its digest must be the announced one."""
        tenant = principal.current().tenant
        with tempfile.TemporaryDirectory(prefix="kaon-bundle-") as directory:
            path = Path(directory) / "bundle.zip"
            with path.open("wb") as target:
                async with self._parts.quotas.upload(tenant):
                    digest, size = await _receive(request_iterator, target)
            if not await self._parts.grants.has(tenant, digest.removeprefix("sha256:")):
                await self._parts.quotas.check_bytes(tenant, size)
            await asyncio.to_thread(self._parts.artifacts.put_file, path)
        await self._parts.grants.give(tenant, {digest.removeprefix("sha256:"): size})
        log.info("code bundle stored", digest=digest, size=size)
        return workflow_service_pb2.UploadBundleResponse(digest=digest, size_bytes=size)

    async def RegisterWorkflow(  # noqa: N802
        self, request: workflow_service_pb2.RegisterWorkflowRequest, context: Any
    ) -> workflow_service_pb2.RegisterWorkflowResponse:
        """Validate a definition, store it and make it the current version of its name, unless it is put aside."""
        definition = request.definition
        version = canonical.digest_message(definition)
        tenant = principal.current().tenant
        # A registered definition stays valid, whatever later rules demand of new ones.
        problems = []
        if not await self._is_known(tenant, definition.name, version):
            await self._parts.quotas.check_version(tenant, definition.name)
            problems = await self._problems(definition) or await self._threads.read(
                self._passed_problems, tenant, definition
            )
        problems += self._channel_problems(tenant, definition)
        if definition.code_bundle and not problems:
            problems = await self._bundle_problems(definition.code_bundle)
        if not problems:
            await self._check_values(definition)
        if problems:
            told = [Problem(field="definition", text=problem) for problem in problems]
            raise InvalidRequest(f"workflow {definition.name[:80]!r} cannot be registered", told)
        record, created = await self._threads.run(
            partial(self._store.put_workflow, aside=request.aside),
            tenant,
            definition,
            version,
            self._parts.now_us(),
        )
        log.info(
            "workflow registered",
            workflow=record.name,
            version=version,
            tenant=tenant,
            created=created,
        )
        return workflow_service_pb2.RegisterWorkflowResponse(
            workflow=views.workflow(record), created=created
        )

    async def GetWorkflow(  # noqa: N802
        self, request: workflow_service_pb2.GetWorkflowRequest, context: Any
    ) -> workflow_service_pb2.GetWorkflowResponse:
        """Return one version of a workflow, or the current one."""
        tenant = principal.current().tenant
        record = await self._threads.read(
            self._store.get_workflow, tenant, request.name, request.version
        )
        return workflow_service_pb2.GetWorkflowResponse(workflow=views.workflow(record))

    async def ListWorkflows(  # noqa: N802
        self, request: workflow_service_pb2.ListWorkflowsRequest, context: Any
    ) -> workflow_service_pb2.ListWorkflowsResponse:
        """Return a page of the current versions of the caller's workflows."""
        wanted = window(request.page_size, request.page_token)
        records = await self._threads.read(
            self._store.list_workflows, principal.current().tenant, wanted.after, wanted.limit
        )
        page, token = wanted.cut(records, lambda record: record.name)
        return workflow_service_pb2.ListWorkflowsResponse(
            workflows=[views.workflow(it) for it in page], next_page_token=token
        )

    async def _problems(self, definition: d.WorkflowDefinition) -> list[str]:
        # Validation of a large definition takes long.
        return list(await asyncio.to_thread(self._parts.validate, definition))

    async def _check_values(self, definition: d.WorkflowDefinition) -> None:
        # A large definition has many values.
        if found := await asyncio.to_thread(lambda: named(_values(definition))):
            await self._parts.grants.check(principal.current(), found)

    def _passed_problems(self, tenant: str, definition: d.WorkflowDefinition) -> list[str]:
        def called(spec: d.SubWorkflow) -> d.WorkflowDefinition | None:
            try:
                return self._store.get_workflow(tenant, spec.workflow, spec.version).definition
            except NotFound:
                return None

        return list(passed_problems(definition, called))

    def _channel_problems(self, tenant: str, definition: d.WorkflowDefinition) -> list[str]:
        """Describe the channels that are not there: also for a known version, which would tell nobody."""
        named = dict.fromkeys(each.channel for each in definition.notifications)
        found = [self._parts.channels.problem(tenant, name) for name in named]
        return [problem for problem in found if problem]

    async def _is_known(self, tenant: str, name: str, version: str) -> bool:
        try:
            await self._threads.read(self._store.get_workflow, tenant, name, version)
        except NotFound:
            return False
        return True

    async def _bundle_problems(self, digest: str) -> list[str]:
        if not DIGEST.match(digest):
            return [
                f"code_bundle {digest[:80]!r} is not a digest of the form sha256:<64 hex digits>"
            ]
        artifact = self._parts.artifacts.by_digest(digest)
        try:
            await self._parts.grants.check(principal.current(), {digest.removeprefix("sha256:")})
            await asyncio.to_thread(self._parts.artifacts.renew, artifact)
        except (ArtifactMissing, NotFound):
            return [f"code bundle {digest} is not here: upload it first"]
        return []


def _values(definition: d.WorkflowDefinition) -> Iterator[str]:
    """Yield the JSON texts of a definition that may become values of a run."""
    waiting: list[Message] = [definition]
    while waiting:
        for field, value in waiting.pop().ListFields():
            if field.message_type is not None:
                waiting += _messages(field, value)
            elif field.name in _VALUES:
                yield value


def _messages(field: Any, value: Any) -> Iterable[Message]:
    """Return the messages in a field: its own, those of a list, or those of a map."""
    if not field.is_repeated:
        return [value]
    if field.message_type.GetOptions().map_entry:
        return [each for each in value.values() if isinstance(each, Message)]
    return list(value)


async def _receive(
    pieces: AsyncIterator[workflow_service_pb2.UploadBundleRequest], target: IO[bytes]
) -> tuple[str, int]:
    """Store the received bytes and return their digest, which must be the named one, and size."""
    received, named = Receiving(target, "the bundle", LARGEST_BUNDLE, "keep data out of it"), ""
    async for piece in pieces:
        named = named or piece.digest
        check_digest(named)
        await received.add(piece.data)
    return received.checked(named), received.size
