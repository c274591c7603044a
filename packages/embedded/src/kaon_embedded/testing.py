"""Runs workflows for tests: the embedded system, with the functions of steps on threads of this process."""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kaon.client import Client, Endpoints, params
from kaon.client.stopping import Stopped, after
from kaon.dsl import Workflow
from kaon.step.artifact import Artifact
from kaon.testing.running import FinishedRun, FinishedStep, Wanted
from kaon_embedded.in_process import InProcessRunner, Stage
from kaon_embedded.last_runs import provide
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, pools_of, step_types_of
from kaon_telemetry.logs import configure_logs
from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_SLOTS = 4


def run(wanted: Wanted) -> FinishedRun:
    """Run a workflow to its end; see `kaon.testing.run_workflow`."""
    configure_logs("error")
    own = wanted.directory is None
    directory = wanted.directory or Path(tempfile.mkdtemp(prefix="kaon-test-"))
    workflows = list(_family(wanted.workflow))
    stage = Stage(
        functions={name: each for flow in workflows for name, each in flow.functions.items()},
        fakes=wanted.fakes,
    )
    definitions = [_quick(flow.definition(), stage) for flow in workflows]
    pools = {pool for each in definitions for pool in pools_of(each)}
    settings = EmbeddedSettings(
        state=directory,
        slots=_SLOTS,
        pools=tuple(sorted(pools)),
        step_types=step_types_of(wanted.workflow),
    )
    with _importing(workflows), EmbeddedSystem(settings, partial(InProcessRunner, stage)) as system:
        if lacks := [text for each in definitions for text in system.lacks(each)]:
            raise KaonError("; ".join(lacks) + ". Give a fake: run_workflow(..., fakes=[...])")
        roles = sorted({role for each in definitions for role in _roles(each)})
        endpoints = Endpoints(server=system.address, roles=tuple(roles))
        with Client(endpoints) as client:
            finished = _finish(client, wanted, workflows, definitions, directory)
    if own:
        weakref.finalize(finished, shutil.rmtree, directory, ignore_errors=True)
    return finished


def _finish(
    client: Client,
    wanted: Wanted,
    workflows: list[Workflow],
    definitions: list[d.WorkflowDefinition],
    directory: Path,
) -> FinishedRun:
    provide(client, definitions, wanted.last_runs)
    for workflow, definition in zip(workflows, definitions, strict=True):
        if definition.code_bundle:
            client.upload_bundle(workflow.bundle().digest, workflow.bundle().data)
        version = client.register_definition(definition).workflow.version
    # The last one is the workflow itself.
    encoded = params.encode(definition, wanted.params)
    submitted = client.submit_encoded(wanted.workflow.name, version, encoded, "")
    for name, payload in wanted.signals.items():
        client.signal(submitted.run.run_id, name, payload)
    try:
        with after(wanted.timeout):
            _attend(client, submitted.run.run_id, wanted.approvals)
    except Stopped:
        raise TimeoutError(_stuck(client, submitted.run.run_id, wanted.timeout)) from None
    return _finished(client.run(submitted.run.run_id), directory)


def _attend(client: Client, run_id: str, approvals: Mapping[str, bool | Mapping[str, Any]]) -> None:
    """Answer approvals as they come, until the run has ended."""
    for update in client.watch(run_id):
        path = update.event.block_started.path
        name = path.rsplit("/", 1)[-1]
        if name in approvals:
            answer = approvals[name]
            client.answer(
                run_id,
                path,
                approved=answer is not False,
                comment="kaon.testing",
                values=None if isinstance(answer, bool) else answer,
            )


def _stuck(client: Client, run_id: str, seconds: float) -> str:
    found = client.run(run_id)
    ended = (run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_SKIPPED)
    open_ones: list[run_pb2.StepView | run_pb2.BlockView] = [
        *found.steps,
        *(each for each in found.blocks if each.gate),
    ]
    waiting = [
        f"{each.path} {run_pb2.Status.Name(each.status).removeprefix('STATUS_')}"
        for each in open_ones
        if each.status not in ended
    ]
    return f"the run has not ended within {seconds:g} s: {', '.join(waiting) or 'nothing runs'}"


def _finished(found: run_service_pb2.GetRunResponse, directory: Path) -> FinishedRun:
    return FinishedRun(
        status=_status(found.run.status),
        outputs=_values(found.run.outputs_json),
        error=_error(found.run.error),
        steps={
            step.path: FinishedStep(
                path=step.path,
                status=_status(step.status),
                attempt=step.attempt,
                outputs=_values(step.outputs_json),
                metrics=dict(step.metrics),
                error=_error(step.error),
            )
            for step in found.steps
        },
        directory=directory,
    )


def _status(status: run_pb2.Status.ValueType) -> str:
    return run_pb2.Status.Name(status).removeprefix("STATUS_")


def _error(error: step_pb2.StepError) -> str:
    return f"{error.type}: {error.message}" if error.type else error.message


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: _value(canonical.loads(text)) for name, text in sorted(texts.items())}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(each) for each in value]
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        artifact = Artifact.from_reference(value["artifact"])
        parts = urlsplit(artifact.uri)
        path = Path(unquote(parts.path)) if parts.scheme == "file" else None
        return replace(artifact, path=path)
    return value


def _family(workflow: Workflow) -> Iterator[Workflow]:
    """Yield the workflows that a workflow runs, each after its own, and itself last."""
    for child in workflow.children:
        yield from _family(child)
    yield workflow


def _roles(definition: d.WorkflowDefinition) -> Iterator[str]:
    for block in all_blocks(definition.body):
        yield from block.gate.approval.roles


def _quick(definition: d.WorkflowDefinition, stage: Stage) -> d.WorkflowDefinition:
    """Take out of a definition what a test does not wait for, and what this process does not need."""
    for block in all_blocks(definition.body):
        match block.WhichOneof("kind"):
            case "step":
                _quick_step(block.step)
            case "repeat":
                block.repeat.backoff_ms = 0
            case "sub_workflow":
                # Another definition is another version.
                block.sub_workflow.version = ""
            case "gate" if block.gate.HasField("timer"):
                block.gate.timer.CopyFrom(d.TimerGate(after_ms=d.Binding(literal_json="0")))
    steps = [block.step for block in all_blocks(definition.body) if block.HasField("step")]
    if all(stage.performs(step.type) for step in steps):
        definition.code_bundle = ""
    return definition


def _quick_step(step: d.Step) -> None:
    for field in ("labels", "resources", "requirements_file", "isolation"):
        step.ClearField(field)
    step.retry.backoff_ms = 0
    for rule in step.retry.rules:
        rule.backoff_ms = 0
    if not step.retry.max_attempts:
        step.ClearField("retry")


@contextmanager
def _importing(workflows: list[Workflow]) -> Iterator[None]:
    """Let the steps import what stands in the directories of their workflows, as they do at a runner."""
    added = [str(each.root) for each in workflows if str(each.root) not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for each in added:
            if each in sys.path:
                sys.path.remove(each)
