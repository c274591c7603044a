"""The coordinator's gRPC server and the composition of its services."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prometheus_client import Histogram

from kaon_artifacts import ArtifactStore
from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.api.access import AccessParts, AccessServicer
from kaon_coordinator.api.artifact_renewal import ArtifactRenewal
from kaon_coordinator.api.artifacts import ArtifactParts, ArtifactServicer
from kaon_coordinator.api.calls import call_rules
from kaon_coordinator.api.datasets import DatasetParts, DatasetServicer
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogSource
from kaon_coordinator.api.logs import LogParts, LogServicer
from kaon_coordinator.api.outcomes import Outcomes
from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.runners import Matchers, RunnerParts, RunnerServicer
from kaon_coordinator.api.runs import RunParts, RunServicer
from kaon_coordinator.api.schedules import ScheduleParts, ScheduleServicer
from kaon_coordinator.api.submission import Begin, Submission, Wake, store_first
from kaon_coordinator.api.system import Broker, SystemParts, SystemServicer
from kaon_coordinator.api.watch import Watcher
from kaon_coordinator.api.workflows import Validate, WorkflowParts, WorkflowServicer
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.notifications.channels import Channels
from kaon_coordinator.store.base import Store
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.access.calling import Calling
from kaon_service.access.guard import Guard
from kaon_service.access.limits import AllLimits
from kaon_service.server import GrpcServer
from kaonapi.access.v1 import access_service_pb2, access_service_pb2_grpc
from kaonapi.artifact.v1 import artifact_service_pb2, artifact_service_pb2_grpc
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from kaonapi.log.v1 import log_pb2, log_pb2_grpc
from kaonapi.run.v1 import run_service_pb2, run_service_pb2_grpc
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.schedule.v1 import schedule_pb2, schedule_pb2_grpc
from kaonapi.system.v1 import system_pb2, system_pb2_grpc
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

SERVICES = (
    workflow_service_pb2.DESCRIPTOR.services_by_name["WorkflowService"].full_name,
    run_service_pb2.DESCRIPTOR.services_by_name["RunService"].full_name,
    schedule_pb2.DESCRIPTOR.services_by_name["ScheduleService"].full_name,
    dataset_pb2.DESCRIPTOR.services_by_name["DatasetService"].full_name,
    log_pb2.DESCRIPTOR.services_by_name["LogService"].full_name,
    artifact_service_pb2.DESCRIPTOR.services_by_name["ArtifactService"].full_name,
    runner_pb2.DESCRIPTOR.services_by_name["RunnerService"].full_name,
    system_pb2.DESCRIPTOR.services_by_name["SystemService"].full_name,
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].full_name,
)

# Far beyond the largest definition, so that too large ones are refused with an explanation.
_LARGEST_MESSAGE = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ApiParts:
    """The dependencies of the API."""

    # Decides who may call.
    guard: Guard
    # How this coordinator calls others.
    calling: Calling
    store: StoreCalls[Store]
    artifacts: ArtifactStore
    validate: Validate
    feed: RunFeed
    logs: LogSource
    matchers: Matchers
    # All pools of the deployment.
    pools: Sequence[str]
    # Name of this coordinator.
    owner: str
    wake: Wake
    begin: Begin = store_first
    broker: Broker
    # Number of partitions over which new runs are spread.
    partitions: int
    # Returns microseconds since the epoch.
    now_us: Callable[[], int]
    # Returns an id for a run that is submitted at a time.
    new_run_id: Callable[[int], str] = new_run_id
    # Quotas of tenants.
    entitlements: Tenants = NO_LIMITS
    # Bounds of submissions.
    limits: Limits = DEFAULT
    # What each tenant may store.
    tenant_limits: AllLimits = field(default_factory=AllLimits)
    # The channels that workflows may notify.
    channels: Channels = field(default_factory=Channels)
    # Observes the duration of each unary call, by method and status.
    call_seconds: Histogram | None = None
    # Called when a schedule was put.
    schedules_changed: Callable[[], None] = lambda: None
    # Seconds between reads of quiet runs from the store for their watchers.
    poll_seconds: float = 0.5
    # Seconds after a run's end within which its last lines may arrive.
    settle_seconds: float = 1.5
    # Longest wait of a command's caller for the run's owner, in seconds.
    answer_seconds: float = 5.0


class ApiServer(GrpcServer):
    """Serves the API. Health is NOT_SERVING, and `ready` False, until `serving` changes it.

    Args:
        parts: what it works with.
        also: full names of services that are added by others.
    """

    def __init__(self, parts: ApiParts, also: Sequence[str] = ()) -> None:
        limits = [
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", -1),
        ]
        super().__init__((*SERVICES, *also), call_rules(parts.guard, parts.call_seconds), limits)
        self._add_services(parts)

    def _add_services(self, parts: ApiParts) -> None:
        quotas = Quotas(parts.store, parts.tenant_limits)
        watcher = Watcher(store=parts.store, feed=parts.feed, poll_seconds=parts.poll_seconds)
        grants = Grants(parts.store)
        submission = Submission(
            store=parts.store,
            wake=parts.wake,
            begin=parts.begin,
            partitions=parts.partitions,
            now_us=parts.now_us,
            new_run_id=parts.new_run_id,
            renewal=ArtifactRenewal(parts.artifacts),
            outcomes=Outcomes(
                store=parts.store, feed=parts.feed, answer_seconds=parts.answer_seconds
            ),
            bounds=TenantBounds(parts.store, parts.entitlements),
            grants=grants,
            limits=parts.limits,
            quotas=quotas,
        )
        runs = RunParts(
            store=parts.store,
            feed=parts.feed,
            watcher=watcher,
            submission=submission,
        )
        schedules = ScheduleParts(
            store=parts.store,
            submission=submission,
            partitions=parts.partitions,
            changed=parts.schedules_changed,
            quotas=quotas,
        )
        workflows = WorkflowParts(
            grants=grants,
            store=parts.store,
            artifacts=parts.artifacts,
            validate=parts.validate,
            now_us=parts.now_us,
            quotas=quotas,
            channels=parts.channels,
        )
        logs = LogParts(
            store=parts.store,
            source=parts.logs,
            feed=parts.feed,
            artifacts=parts.artifacts,
            now_us=parts.now_us,
            poll_seconds=parts.poll_seconds,
            settle_seconds=parts.settle_seconds,
        )
        runners = RunnerParts(
            store=parts.store,
            matchers=parts.matchers,
            pools=parts.pools,
            owner=parts.owner,
            calling=parts.calling,
            now_us=parts.now_us,
        )
        system = SystemParts(
            store=parts.store,
            broker=parts.broker,
            matchers=parts.matchers,
            pools=tuple(parts.pools),
            partitions=parts.partitions,
            owner=parts.owner,
            now_us=parts.now_us,
        )
        server = self.grpc
        workflow_service_pb2_grpc.add_WorkflowServiceServicer_to_server(
            WorkflowServicer(workflows), server
        )
        run_service_pb2_grpc.add_RunServiceServicer_to_server(RunServicer(runs), server)
        schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(ScheduleServicer(schedules), server)
        datasets = DatasetParts(
            store=parts.store, submission=submission, changed=parts.schedules_changed
        )
        dataset_pb2_grpc.add_DatasetServiceServicer_to_server(DatasetServicer(datasets), server)
        log_pb2_grpc.add_LogServiceServicer_to_server(LogServicer(logs), server)
        artifacts = ArtifactParts(
            grants=grants, quotas=quotas, store=parts.store, artifacts=parts.artifacts
        )
        artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(
            ArtifactServicer(artifacts), server
        )
        runner_pb2_grpc.add_RunnerServiceServicer_to_server(RunnerServicer(runners), server)
        system_pb2_grpc.add_SystemServiceServicer_to_server(SystemServicer(system), server)
        access = AccessParts(store=parts.store, now_us=parts.now_us)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(AccessServicer(access), server)
