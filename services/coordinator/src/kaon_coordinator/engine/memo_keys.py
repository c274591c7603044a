"""Memo keys: the digests under which outputs are remembered for equal executions of steps and sub-workflows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from kaon_coordinator.engine.messages import ChildPrepared
from kaon_coordinator.engine.state.state import BlockState, StepState
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaon_wire.value_types import name_of
from kaonapi.workflow.v1 import definition_pb2 as d


def of_step(step: StepState, definition: d.WorkflowDefinition, inputs: Mapping[str, str]) -> str:
    """Return the digest of everything that a step's outputs depend on; artifacts count by content and name, not by location.

    Raises:
        KaonError: An input cannot be read.
    """
    declared = step.block.step
    # Absent where nothing is declared inside of an output: older keys stay.
    inside = {name: name_of(shape) for name, shape in declared.output_contents.items()}
    return _digest(
        {
            **({"contents": inside} if inside else {}),
            "type": declared.type,
            "config": declared.config_json,
            "code": declared.memo.code_digest or definition.code_bundle,
            "environment": declared.requirements_file,
            "outputs": {name: int(kind) for name, kind in declared.outputs.items()},
            "salt": declared.memo.salt,
            "inputs": {name: _by_content(name, value) for name, value in inputs.items()},
        }
    )


def of_run(block: BlockState, run: ChildPrepared) -> str:
    """Return the digest of everything that the outputs of a sub-workflow's run depend on.

    Raises:
        KaonError: A parameter cannot be read.
    """
    declared = block.block.sub_workflow
    return _digest(
        {
            "workflow": run.workflow,
            "version": run.version,
            "outputs": {name: int(kind) for name, kind in declared.outputs.items()},
            "salt": declared.memo.salt,
            "params": {name: _by_content(name, value) for name, value in run.params.items()},
        }
    )


def _digest(facts: Mapping[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(canonical.dumps(facts).encode()).hexdigest()}"


def _by_content(name: str, value_json: str) -> Any:
    try:
        return _without_places(canonical.loads(value_json))
    except RecursionError:
        raise KaonError(f"input {name!r} is nested too deeply for a memo") from None


def _without_places(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"artifact"} and isinstance(value["artifact"], dict):
            artifact = value["artifact"]
            content = {"artifact": artifact.get("digest") or artifact.get("uri")}
            # The name counts: a step may read it, or choose a format by its extension.
            return content | {"name": artifact["name"]} if artifact.get("name") else content
        return {name: _without_places(item) for name, item in value.items()}
    return value
