"""Which methods of the services a browser may call. A test holds this to the protos: a new method is listed, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum


class Access(Enum):
    """What a method does to the system."""

    READ = "read"
    COMMAND = "command"


class Backend(Enum):
    """Which service answers; the value is its name for people."""

    COORDINATOR = "coordinator"
    VIEW = "view service"
    PUBLISHER = "model publisher"


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method that a browser may call."""

    # Such as "kaonapi.run.v1.RunService/GetRun".
    name: str
    access: Access
    # Whether it answers with a stream.
    streams: bool
    backend: Backend


# By service: methods that read, those of them that answer with a stream, and methods that change something.
_LISTED: Mapping[str, tuple[str, str, str]] = {
    "kaonapi.run.v1.RunService": (
        "GetRun ListRuns GetRunAt VerifyRun",
        "WatchRun",
        "SubmitRun CancelRun PauseRun ResumeRun SetBreakpoint PassBreakpoint SignalRun SignalRuns AnswerGate "
        "RetryRun RestartRun MarkBlock SetRunPriority RerunRun ForkRun",
    ),
    "kaonapi.view.v1.ViewService": (
        "QueryRuns CountRuns ListGates ListValues GetRunView GetCells ListCells GetSpans ListEvents SeqAt GetStep "
        "QueryLogs CountLogs",
        "Watch",
        "",
    ),
    "kaonapi.workflow.v1.WorkflowService": ("GetWorkflow ListWorkflows", "", ""),
    "kaonapi.schedule.v1.ScheduleService": (
        "GetSchedule ListSchedules ListPermits",
        "",
        "PutSchedule DeleteSchedule RunSchedule Backfill SetPermits",
    ),
    "kaonapi.dataset.v1.DatasetService": (
        "ListDatasets GetDataset ListDatasetUpdates",
        "",
        "RecordDatasetUpdate",
    ),
    "kaonapi.log.v1.LogService": ("", "ReadLogs ReadWholeLog", ""),
    "kaonapi.artifact.v1.ArtifactService": ("ListArtifacts", "ReadArtifact", ""),
    "kaonapi.runner.v1.RunnerService": ("ListRunners ListPools ExplainStep", "", ""),
    "kaonapi.system.v1.SystemService": ("Diagnose", "", ""),
    "kaonapi.model.v1.ModelService": ("ListModels GetModel", "", "PromoteModel RollbackModel"),
}

# Methods that a browser never calls, and why.
REFUSED: Mapping[str, str] = {
    "kaonapi.run.v1.RunService/SubmitRuns": "a page submits one run at a time",
    "kaonapi.workflow.v1.WorkflowService/UploadBundle": "code comes from the CLI and the SDK",
    "kaonapi.workflow.v1.WorkflowService/RegisterWorkflow": "definitions come from the CLI and the SDK, with their code",
    "kaonapi.artifact.v1.ArtifactService/PutArtifact": "files come from the CLI and the SDK",
    "kaonapi.model.v1.ModelService/PublishModel": "steps publish models",
    "kaonapi.model.v1.ModelService/WatchModels": "production systems watch for models, under a name of their own",
    "kaonapi.model.v1.ModelService/AcknowledgeModel": "production systems acknowledge what they have picked up",
    "kaonapi.access.v1.AccessService/WhoAmI": "the console asks itself, where somebody logs in with a token",
    "kaonapi.access.v1.AccessService/CreateToken": "tokens are made and revoked by the CLI: a page never holds one",
    "kaonapi.access.v1.AccessService/ListTokens": "tokens are made and revoked by the CLI: a page never holds one",
    "kaonapi.access.v1.AccessService/RevokeToken": "tokens are made and revoked by the CLI: a page never holds one",
    "kaonapi.access.v1.AccessService/ResolveToken": "services ask whose a token is",
    "kaonapi.access.v1.AccessService/ResolveTenant": "tenants are kept by the CLI, and services ask for them",
    "kaonapi.access.v1.AccessService/ResolveArtifacts": "services ask what a caller may read",
    "kaonapi.access.v1.AccessService/PutTenant": "tenants are kept by the CLI, and services ask for them",
    "kaonapi.access.v1.AccessService/ListTenants": "tenants are kept by the CLI, and services ask for them",
    "kaonapi.access.v1.AuditService/ListAudit": "the audit log is read by the CLI",
    "kaonapi.access.v1.AuditService/ExportAudit": "the audit log is read by the CLI",
}

_BACKENDS: Mapping[str, Backend] = {
    "kaonapi.view": Backend.VIEW,
    "kaonapi.model": Backend.PUBLISHER,
}


def _methods() -> Iterator[Method]:
    for service, (reads, streams, commands) in _LISTED.items():
        backend = _BACKENDS.get(".".join(service.split(".")[:2]), Backend.COORDINATOR)
        kinds = (
            (reads, Access.READ, False),
            (streams, Access.READ, True),
            (commands, Access.COMMAND, False),
        )
        for names, access, streaming in kinds:
            for name in names.split():
                yield Method(
                    name=f"{service}/{name}", access=access, streams=streaming, backend=backend
                )


METHODS: Mapping[str, Method] = {method.name: method for method in _methods()}
