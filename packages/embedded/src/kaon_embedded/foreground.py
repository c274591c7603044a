"""Executes one Python step in the terminal's own process, with the inputs that it has in a run: for breakpoints and profilers."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.cli import output
from kaon.dsl import Workflow
from kaon.step.call import call, failure
from kaon.step.context import StepContext, StepSkipped
from kaon_coordinator import expressions, replay
from kaon_coordinator.api import places
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import BindingError, resolve
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.store.base import Store
from kaon_coordinator.store.sql import open_store
from kaon_embedded.state_directory import check_has_runs, database_url, tenant
from kaon_runner.artifacts.gateway import ArtifactGateway
from kaon_runner.errors import UserStepError
from kaon_runner.preparation.environments import Environments
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.settings import Settings
from kaon_service.databases import Durability
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import InvalidValue, NotFound
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is executed."""

    # The code as the file has it now.
    workflow: Workflow
    # Path or name of a step.
    step: str
    # A directory with artifacts and runs.
    state: Path
    # The run whose values the step gets; empty: it needs none but parameters.
    run_id: str
    # Canonical JSON by name, over those of the run.
    params: Mapping[str, str]
    # A failure stops in the debugger.
    debug: bool = False


def execute(wanted: Wanted) -> int:
    """Execute the step in this process, and print its outputs. Return the exit code.

    Raises:
        NotFound: The workflow has no such step, or the run does not.
        InvalidValue: The step is not of type python, or an input has no value.
    """
    path, block = _found(wanted)
    if block.step.type != "python":
        raise InvalidValue(
            f"step {path} is of type {block.step.type}: only a python step runs in this process"
        )
    with tempfile.TemporaryDirectory(prefix="kaon-only-") as scratch:
        request = step_pb2.StepRequest(
            key=step_pb2.StepKey(
                run_id=wanted.run_id or "none", path=path, attempt=1, generation=1
            ),
            spec=step_pb2.StepSpec(
                type=block.step.type,
                workflow=wanted.workflow.name,
                tenant=tenant(),
                inputs_json=_inputs(wanted, path, block),
                outputs=dict(block.step.outputs),
                output_contents=dict(block.step.output_contents),
                config_json=block.step.config_json,
            ),
        )
        try:
            return _call(wanted, request, Path(scratch))
        except UserStepError as error:
            raise InvalidValue(f"{path}: {error}") from error


def first_failure(state: Path, run_id: str) -> str:
    """Return the path of the first python step of a run that failed by itself; empty for none."""
    store = _opened(state)
    try:
        found = [
            step.path
            for step in store.list_steps(run_id)
            if step.status == t.FAILED and json.loads(step.data).get("type") == "python"
        ]
    finally:
        store.close()
    return found[0] if found else ""


def _call(wanted: Wanted, request: step_pb2.StepRequest, scratch: Path) -> int:
    settings = Settings(
        runner_id="foreground",
        artifacts=(wanted.state / "artifacts").absolute().as_uri(),
        work=scratch / "work",
    )
    prepared = Preparer(
        ArtifactGateway(settings),
        steps=scratch / "steps",
        scratch=(scratch / "scratch").as_uri(),
        incarnation="foreground",
        environments=Environments(settings.cache_directory, python=settings.python),
    ).prepare(request, lambda: output.note("The environment of the step is being built."))
    prepared.directory.create()
    context = StepContext(json.loads(prepared.context_json), _tell)
    before, root = Path.cwd(), str(wanted.workflow.root)
    sys.path.insert(0, root)
    os.chdir(prepared.directory.work)
    try:
        outputs = call(prepared.config["entry"], context)
    except StepSkipped as skipped:
        output.say(f"skipped: {skipped}")
        return 0
    except Exception as error:
        # As in the log of a step: without the frames around the step's own code.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        output.note(failure(error.with_traceback(frames))["traceback"].rstrip("\n"))
        if wanted.debug:
            # What is asked for: not left over from a search for a fault.
            import pdb  # noqa: T100

            pdb.post_mortem(error.__traceback__)
        return 1
    finally:
        os.chdir(before)
        sys.path.remove(root)
    for name, value in sorted(outputs.items()):
        output.say(f"output {name} = {json.dumps(value, default=str)}")
    return 0


def _tell(event: dict[str, Any]) -> None:
    """Print what the step reports; there is nobody who would keep it."""
    told = "  ".join(f"{name}={value}" for name, value in event.items() if name != "kind")
    output.note(f"{event['kind']}: {told}")


def _found(wanted: Wanted) -> tuple[str, d.Block]:
    """Return the step's path and its declaration in the file."""
    blocks = {
        block.name: block
        for block in all_blocks(wanted.workflow.definition().body)
        if block.HasField("step")
    }
    path = _path_in_run(wanted) if wanted.run_id else wanted.step
    block = blocks.get(path.rsplit("/", 1)[-1])
    if block is None:
        raise NotFound(
            f"workflow {wanted.workflow.name!r} has no step {wanted.step!r}; it has {', '.join(blocks)}"
        )
    return path, block


def _path_in_run(wanted: Wanted) -> str:
    store = _opened(wanted.state)
    try:
        run = store.get_run(tenant(), wanted.run_id)
        return places.find(store, run, wanted.step, lambda place: place.status in t.BROKEN)
    finally:
        store.close()


def _inputs(wanted: Wanted, path: str, block: d.Block) -> dict[str, str]:
    if not wanted.run_id:
        return {name: _value(wanted, name, binding) for name, binding in block.step.inputs.items()}
    store = _opened(wanted.state)
    try:
        run = store.load_run(wanted.run_id)
        record = store.get_workflow(run.tenant, run.workflow, run.version)
    finally:
        store.close()
    state = replay.stored(run, compile_workflow(record.definition, record.version))
    state.params = {**state.params, **wanted.params}
    node = state.node(path)
    if not isinstance(node, StepState):
        raise InvalidValue(f"{path} of run {wanted.run_id} is a block: name one of its steps")
    try:
        return {
            name: resolve(state, node.scope, binding, expressions.evaluate)
            for name, binding in block.step.inputs.items()
        }
    except BindingError as error:
        raise InvalidValue(f"{path} of run {wanted.run_id} has no inputs: {error}") from error


def _value(wanted: Wanted, name: str, binding: d.Binding) -> str:
    """Return the value of an input that needs no run."""
    match binding.WhichOneof("source"):
        case "literal_json":
            return binding.literal_json
        case "parameter":
            for parameter in wanted.workflow.definition().parameters:
                if parameter.name == binding.parameter and parameter.name not in wanted.params:
                    return parameter.default_json
            return wanted.params[binding.parameter]
    raise InvalidValue(
        f"input {name} of step {wanted.step} comes from other steps: give --from RUN and the --state DIR that has it"
    )


def _opened(state: Path) -> Store:
    """Open the database of a directory that keeps runs."""
    check_has_runs(state)
    return open_store(database_url(state), durability=Durability.RELAXED)
