"""What a step produced, checked against what it declares: exactly the declared outputs, of their types."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kaon_artifacts import Unreadable, opening
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
# As it was written: spaces and escapes may take more than the value.
_FILE_LIMIT_BYTES = 4 << 20
_FILES_LIMIT = 10_000


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
    size = sum(len(text.encode()) for text in collected.values())
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
    try:
        with opening.directory(directory.root) as root:
            for name, place in _entries(root, "outputs"):
                found[name.removesuffix(".json")] = _parsed(place, name)
            for name, _ in _entries(root, "artifacts"):
                found[name] = {"path": str(_inside(directory, name))}
    except Unreadable as error:
        raise UserStepError("OutputMismatch", f"the step's directory: {error}") from error
    return found


def _entries(root: int, what: str) -> Iterator[tuple[str, int]]:
    """The names in one of the step's directories, each with the open directory; a worker makes only what it needs."""
    if what not in os.listdir(root):
        return
    with opening.directory(what, within=root) as place:
        names = sorted(os.listdir(place))
        if len(names) > _FILES_LIMIT:
            raise Unreadable(f"{what} holds more than {_FILES_LIMIT} files")
        for name in names:
            yield name, place


def _inside(directory: StepDirectory, name: str) -> Path:
    """What the step left as artifacts/`name`; a link may lead to something else in the step's directory."""
    path = directory.artifacts / name
    if not path.is_symlink():
        return path
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserStepError(
            "OutputMismatch", f"artifacts/{name} is a link to {_target(path)}, where nothing is"
        ) from error
    if not target.is_relative_to(directory.root.resolve()):
        text = f"artifacts/{name} is a link to {_target(path)}, which leads out of the step's directory"
        raise UserStepError("OutputMismatch", text)
    return target


def _target(link: Path) -> str:
    return os.readlink(link).encode(errors="backslashreplace").decode()


def _parsed(place: int, name: str) -> Any:
    if not name.endswith(".json"):
        raise UserStepError(
            "OutputMismatch", f"the step wrote outputs/{name}: the files there are named <output>.json"
        )
    try:
        return json.loads(opening.read(name, within=place, most=_FILE_LIMIT_BYTES).decode())
    except Unreadable as error:
        raise UserStepError("OutputMismatch", f"outputs/{error}") from error
    except ValueError as error:
        raise UserStepError("OutputMismatch", f"outputs/{name} is not one JSON value: {error}") from error
    except RecursionError as error:
        raise UserStepError("OutputMismatch", f"outputs/{name} is nested too deeply") from error


def _compare(spec: step_pb2.StepSpec, produced: Mapping[str, Any]) -> None:
    wanted, given = set(spec.outputs), set(produced)
    if wanted == given:
        return
    missing, extra = sorted(wanted - given), sorted(ascii(name)[1:-1] for name in given - wanted)
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
    text = _canonical(name, value)
    if (size := len(text.encode())) > _VALUE_LIMIT_BYTES:
        raise UserStepError(
            "OutputTooLarge",
            f"output {name} has {size} bytes as JSON, the limit is {_VALUE_LIMIT_BYTES}: declare it as an artifact",
        )
    return text


def _canonical(name: str, value: Any) -> str:
    try:
        text = canonical.dumps(value)
        # Half of a surrogate pair is JSON, but no text that could be sent.
        text.encode()
        return text
    except (InvalidValue, UnicodeEncodeError) as error:
        raise UserStepError("OutputMismatch", f"output {name}: {error}") from error


def _artifact(spec: step_pb2.StepSpec, name: str, value: Any, artifacts: Artifacts) -> str:
    kind = values.type_name(spec.outputs[name])
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        reference = artifacts.put(_existing(name, kind, value["path"]), kind)
    elif isinstance(value, dict) and isinstance(value.get("uri"), str):
        reference = {"type": kind, "size": 0, "digest": "", **value}
    else:
        raise UserStepError(
            "OutputMismatch",
            f"output {name} is declared as {kind}, an artifact; the step produced {_short(value)} instead of a path or a uri",
        )
    return _canonical(name, {"artifact": reference})


def _existing(name: str, kind: str, path: str) -> Path:
    """Where a path leads that the step's code returned."""
    try:
        return Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        told = ascii(path)[1:-1]
        raise UserStepError("OutputMismatch", f"output {name} ({kind}): there is no file {told}") from error


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "something that is nested too deeply"
    return text if len(text) <= 80 else text[:77] + "..."
