"""What a step produced, checked against what it declares: exactly the declared outputs, of their types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kaon_runner import values
from kaon_runner.directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.preparing import Artifacts
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.step.v1 import step_pb2

_VALUE_LIMIT_BYTES = 256 * 1024
# All outputs of a step travel in one record.
_TOTAL_LIMIT_BYTES = 512 * 1024


def collect(
    spec: step_pb2.StepSpec,
    directory: StepDirectory,
    artifacts: Artifacts,
    returned: Mapping[str, Any],
) -> dict[str, str]:
    """The outputs as canonical JSON by name; artifacts are stored.

    Args:
        returned: what the step's function returned; artifacts as {"path"} or {"uri", "type"}.

    Raises:
        UserStepError: something declared is missing, something undeclared is there, or a type is wrong.
        PlatformStepError: an artifact cannot be stored.
    """
    produced: dict[str, Any] = {**(_files(directory) if directory.exists() else {}), **returned}
    _compare(spec, produced)
    collected = {
        name: _artifact(spec, name, value, artifacts)
        if values.is_artifact(spec.outputs[name])
        else _value(spec, name, value)
        for name, value in sorted(produced.items())
    }
    size = sum(map(len, collected.values()))
    if size > _TOTAL_LIMIT_BYTES:
        raise UserStepError(
            "OutputTooLarge",
            f"the outputs have {size} bytes as JSON together, the limit is {_TOTAL_LIMIT_BYTES}: declare large ones as artifacts",
        )
    return collected


def is_quick(spec: step_pb2.StepSpec) -> bool:
    """Whether `collect` reads and stores no files when the step has no directory."""
    declared = spec.outputs
    return not any(values.is_artifact(declared[name]) for name in declared)


def _files(directory: StepDirectory) -> dict[str, Any]:
    """What the step wrote: values from outputs/, paths from artifacts/."""
    found: dict[str, Any] = {}
    if directory.outputs.is_dir():
        for path in sorted(directory.outputs.iterdir()):
            found[path.name.removesuffix(".json")] = _parsed(path)
    if directory.artifacts.is_dir():
        for path in sorted(directory.artifacts.iterdir()):
            found[path.name] = {"path": str(path)}
    return found


def _parsed(path: Path) -> Any:
    if path.suffix != ".json":
        raise UserStepError(
            "OutputMismatch", f"the step wrote outputs/{path.name}: the files there are named <output>.json"
        )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserStepError(
            "OutputMismatch", f"outputs/{path.name} is not one JSON value: {error}"
        ) from error


def _compare(spec: step_pb2.StepSpec, produced: Mapping[str, Any]) -> None:
    wanted, given = set(spec.outputs), set(produced)
    if wanted == given:
        return
    missing, extra = sorted(wanted - given), sorted(given - wanted)
    parts = []
    if missing:
        parts.append(
            "it did not produce "
            + ", ".join(f"{name} ({values.type_name(spec.outputs[name])})" for name in missing)
        )
    if extra:
        parts.append("it produced " + ", ".join(extra) + ", which it does not declare")
    declared = ", ".join(f"{name}: {kind}" for name, kind in values.declared(spec).items()) or "none"
    raise UserStepError(
        "OutputMismatch",
        f"the step's outputs are not the declared ones: {'; '.join(parts)}. Declared: {declared}",
    )


def _value(spec: step_pb2.StepSpec, name: str, value: Any) -> str:
    kind = values.type_name(spec.outputs[name])
    if not values.matches(value, kind):
        raise UserStepError(
            "OutputMismatch", f"output {name} is declared as {kind}, the step produced {_short(value)}"
        )
    try:
        text = canonical.dumps(value)
    except InvalidValue as error:
        raise UserStepError("OutputMismatch", f"output {name}: {error}") from error
    if len(text) > _VALUE_LIMIT_BYTES:
        raise UserStepError(
            "OutputTooLarge",
            f"output {name} has {len(text)} bytes as JSON, the limit is {_VALUE_LIMIT_BYTES}: declare it as an artifact",
        )
    return text


def _artifact(spec: step_pb2.StepSpec, name: str, value: Any, artifacts: Artifacts) -> str:
    kind = values.type_name(spec.outputs[name])
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        path = Path(value["path"])
        if not path.exists():
            raise UserStepError("OutputMismatch", f"output {name} ({kind}): there is no file {path}")
        reference = artifacts.put(path, kind)
    elif isinstance(value, dict) and isinstance(value.get("uri"), str):
        reference = {"type": kind, "size": 0, "digest": "", **value}
    else:
        raise UserStepError(
            "OutputMismatch",
            f"output {name} is declared as {kind}, an artifact; the step produced {_short(value)} instead of a path or a uri",
        )
    return canonical.dumps({"artifact": reference})


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
