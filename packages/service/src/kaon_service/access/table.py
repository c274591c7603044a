"""The one table of methods: who may call each, and whether the call is recorded.

Every method acts in the tenant of its caller and in no other. Only a platform administrator, and a service on behalf of
its own caller, name another tenant, in the metadata `kaon-tenant`. What a request names (a run, an artifact, a schedule)
is looked for within that tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kaon_service.roles import Kind, Role


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may call one method."""

    # The role that a person needs; None: every authenticated person may call it.
    role: Role | None
    # Kinds of services that may call it, too, each within its own bounds.
    kinds: frozenset[Kind] = frozenset()
    # True: each call, and each refusal, is a row of the audit log. For what only reads, a setting decides.
    audited: bool = False


_SERVICES: Mapping[str, Mapping[str, Access]] = {
    "kaonapi.access.v1.AccessService": {
        "WhoAmI": Access(role=None, kinds=frozenset(Kind)),
        "CreateToken": Access(role=Role.TENANT_ADMIN, audited=True),
        "ListTokens": Access(role=Role.TENANT_ADMIN),
        "RevokeToken": Access(role=Role.TENANT_ADMIN, audited=True),
        "ResolveToken": Access(role=Role.PLATFORM_ADMIN, kinds=frozenset({Kind.SERVICE})),
        "ResolveTenant": Access(role=Role.PLATFORM_ADMIN, kinds=frozenset({Kind.SERVICE})),
        "ResolveArtifacts": Access(role=Role.PLATFORM_ADMIN, kinds=frozenset({Kind.SERVICE})),
        "PutTenant": Access(role=Role.PLATFORM_ADMIN, audited=True),
        "ListTenants": Access(role=Role.VIEWER),
    },
    "kaonapi.access.v1.AuditService": {
        "ListAudit": Access(role=Role.TENANT_ADMIN),
        "ExportAudit": Access(role=Role.PLATFORM_ADMIN, audited=True),
    },
    "kaonapi.run.v1.RunService": {
        "SubmitRun": Access(role=Role.OPERATOR, audited=True),
        "SubmitRuns": Access(role=Role.OPERATOR, audited=True),
        "GetRun": Access(role=Role.VIEWER),
        "ListRuns": Access(role=Role.VIEWER),
        "WatchRun": Access(role=Role.VIEWER),
        "CancelRun": Access(role=Role.OPERATOR, audited=True),
        "PauseRun": Access(role=Role.OPERATOR, audited=True),
        "ResumeRun": Access(role=Role.OPERATOR, audited=True),
        "SetBreakpoint": Access(role=Role.OPERATOR, audited=True),
        "PassBreakpoint": Access(role=Role.OPERATOR, audited=True),
        "SignalRun": Access(role=Role.OPERATOR, audited=True),
        "SignalRuns": Access(role=Role.OPERATOR, audited=True),
        "AnswerGate": Access(role=Role.VIEWER, audited=True),
        "RetryRun": Access(role=Role.OPERATOR, audited=True),
        "RestartRun": Access(role=Role.OPERATOR, audited=True),
        "MarkBlock": Access(role=Role.OPERATOR, audited=True),
        "SetRunPriority": Access(role=Role.OPERATOR, audited=True),
        "RerunRun": Access(role=Role.OPERATOR, audited=True),
        "GetRunAt": Access(role=Role.VIEWER),
        "ForkRun": Access(role=Role.OPERATOR, audited=True),
        "VerifyRun": Access(role=Role.VIEWER),
    },
    "kaonapi.workflow.v1.WorkflowService": {
        "UploadBundle": Access(role=Role.AUTHOR, audited=True),
        "RegisterWorkflow": Access(role=Role.AUTHOR, audited=True),
        "GetWorkflow": Access(role=Role.VIEWER),
        "ListWorkflows": Access(role=Role.VIEWER),
    },
    "kaonapi.schedule.v1.ScheduleService": {
        "PutSchedule": Access(role=Role.AUTHOR, audited=True),
        "GetSchedule": Access(role=Role.VIEWER),
        "ListSchedules": Access(role=Role.VIEWER),
        "DeleteSchedule": Access(role=Role.AUTHOR, audited=True),
        "RunSchedule": Access(role=Role.OPERATOR, audited=True),
        "Backfill": Access(role=Role.OPERATOR, audited=True),
        "SetPermits": Access(role=Role.TENANT_ADMIN, audited=True),
        "ListPermits": Access(role=Role.VIEWER),
    },
    "kaonapi.dataset.v1.DatasetService": {
        "ListDatasets": Access(role=Role.VIEWER),
        "GetDataset": Access(role=Role.VIEWER),
        "ListDatasetUpdates": Access(role=Role.VIEWER),
        "RecordDatasetUpdate": Access(role=Role.OPERATOR, audited=True),
    },
    "kaonapi.log.v1.LogService": {
        "ReadLogs": Access(role=Role.VIEWER),
        "ReadWholeLog": Access(role=Role.VIEWER),
    },
    "kaonapi.artifact.v1.ArtifactService": {
        "ListArtifacts": Access(role=Role.VIEWER),
        "ReadArtifact": Access(role=Role.VIEWER),
        "PutArtifact": Access(role=Role.OPERATOR, audited=True),
    },
    "kaonapi.runner.v1.RunnerService": {
        "ListRunners": Access(role=Role.VIEWER),
        "ListPools": Access(role=Role.VIEWER),
        "ExplainStep": Access(role=Role.VIEWER),
    },
    "kaonapi.system.v1.SystemService": {
        "Diagnose": Access(role=Role.VIEWER),
    },
    "kaonapi.view.v1.ViewService": {
        "QueryRuns": Access(role=Role.VIEWER),
        "CountRuns": Access(role=Role.VIEWER),
        "GetRunView": Access(role=Role.VIEWER),
        "GetCells": Access(role=Role.VIEWER),
        "ListCells": Access(role=Role.VIEWER),
        "GetSpans": Access(role=Role.VIEWER),
        "ListEvents": Access(role=Role.VIEWER),
        "SeqAt": Access(role=Role.VIEWER),
        "GetStep": Access(role=Role.VIEWER),
        "QueryLogs": Access(role=Role.VIEWER),
        "CountLogs": Access(role=Role.VIEWER),
        "ListGates": Access(role=Role.VIEWER),
        "ListValues": Access(role=Role.VIEWER),
        "Watch": Access(role=Role.VIEWER),
    },
    "kaonapi.model.v1.ModelService": {
        "PublishModel": Access(role=Role.PUBLISHER, audited=True, kinds=frozenset({Kind.RUNNER})),
        "ListModels": Access(role=Role.VIEWER, kinds=frozenset({Kind.CONSUMER})),
        "GetModel": Access(role=Role.VIEWER, kinds=frozenset({Kind.CONSUMER})),
        "WatchModels": Access(role=Role.VIEWER, kinds=frozenset({Kind.CONSUMER})),
        "AcknowledgeModel": Access(
            role=Role.PUBLISHER, audited=True, kinds=frozenset({Kind.CONSUMER})
        ),
        "PromoteModel": Access(role=Role.PUBLISHER, audited=True),
        "RollbackModel": Access(role=Role.PUBLISHER, audited=True),
    },
}

# What probes ask for: it tells nothing but that the service works.
HEALTH = "/grpc.health.v1.Health/"
# Tells every method and message.
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

# By path, such as "/kaonapi.run.v1.RunService/GetRun". A method that is not here is refused.
TABLE: Mapping[str, Access] = MappingProxyType(
    {
        f"/{service}/{method}": access
        for service, methods in _SERVICES.items()
        for method, access in methods.items()
    }
    | {_REFLECTION: Access(role=None, kinds=frozenset(Kind))}
)
