"""Collects a step's outputs and checks them: exactly the declared ones, of their types."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kaon_artifacts import ArtifactError, Unreadable, checked_name, opening
from kaon_runner.artifacts.base import Artifacts
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.outputs import passing_on, values
from kaon_runner.outputs.passing_on import Given
from kaon_wire import canonical, value_types
from kaon_wire.errors import InvalidValue
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_VALUE_LIMIT_BYTES = 256 * 1024
# All outputs of a step travel in one record.
_TOTAL_LIMIT_BYTES = 512 * 1024
# As written: spaces and escapes may take more bytes than the value.
_FILE_LIMIT_BYTES = 4 << 20
_FILES_LIMIT = 10_000


def collect(
    spec: step_pb2.StepSpec,
    directory: StepDirectory | None,
    artifacts: Artifacts,
    returned: Mapping[str, Any],
    given: Given,
) -> dict[str, str]:
    """Return the outputs as canonical JSON by name; artifacts are stored.

    Args:
        spec: The step's declaration.
        directory: The step's directory; None when it has none.
        artifacts: The artifact store.
        returned: The return value of the step's function; artifacts as {"path"} or {"uri", "type", ...}.
        given: Returns the digests of the artifacts among the step's inputs.

    Raises:
        UserStepError: A declared output is missing, an undeclared one exists, a type is wrong, or an artifact is referred to
            that the step was not given.
        PlatformStepError: An artifact cannot be stored.
    """
    produced: Mapping[str, Any] = returned
    if directory is not None and (files := _files(spec, directory)):
        produced = {**files, **_beyond(files, returned)}
    _compare(spec, produced)
    collected = {
        name: _artifact(spec, name, value, artifacts, given)
        if values.is_artifact(spec.outputs[name])
        else _value(spec, name, value, given)
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
    """Tell whether `collect` neither reads nor stores files when the step has no directory."""
    declared = spec.outputs
    return not any(values.is_artifact(declared[name]) for name in declared)


def _files(spec: step_pb2.StepSpec, directory: StepDirectory) -> dict[str, Any]:
    """Return the files that the step wrote: values from outputs/, paths from artifacts/."""
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    # Protobuf's own map accepts only text as a key.
    declared = dict(spec.outputs)
    try:
        with opening.directory(directory.root) as root:
            for name, place in _entries(root, "outputs"):
                output, kind = os.path.splitext(name)
                if output in found:
                    raise UserStepError(
                        "OutputMismatch", f"the step wrote outputs/{_shown(output)}.json and .txt"
                    )
                found[output] = _parsed(place, name, kind, declared.get(output))
            for entry, _ in _entries(root, "artifacts"):
                name = _output_of(entry, declared)
                if name in written:
                    both = f"artifacts/{_shown(written[name])} and artifacts/{_shown(entry)}"
                    raise UserStepError(
                        "OutputMismatch", f"the step wrote {both} for output {name}"
                    )
                written[name] = entry
                found[name] = _inside(directory, entry, name)
    except Unreadable as error:
        if not directory.exists():
            # A step that serves has ended meanwhile, and its worker has removed the directory, which was empty.
            return {}
        raise UserStepError("OutputMismatch", f"the step's directory: {error}") from error
    return found


def _entries(root: int, what: str) -> Iterator[tuple[str, int]]:
    """Yield the names in one of the step's directories, with the open directory; a worker creates only the needed ones."""
    if what not in os.listdir(root):
        return
    with opening.directory(what, within=root) as place:
        names = sorted(os.listdir(place))
        if len(names) > _FILES_LIMIT:
            raise Unreadable(f"{what} holds more than {_FILES_LIMIT} files")
        for name in names:
            yield name, place


def _beyond(files: Mapping[str, Any], returned: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step's returned outputs without paths to files in artifacts/, which are known already."""
    written = {
        name: file["entry"]
        for name, file in files.items()
        if isinstance(file, dict) and "entry" in file
    }
    return {
        name: value
        for name, value in returned.items()
        if name not in written or not isinstance(value, dict) or value.get("path") != written[name]
    }


def _output_of(entry: str, declared: Mapping[str, int]) -> str:
    """Return the output for which the step wrote artifacts/`entry`: its name, with or without an extension."""
    stem = entry.partition(".")[0]
    if entry in declared or stem not in declared or not values.is_artifact(declared[stem]):
        return entry
    return stem


def _inside(directory: StepDirectory, entry: str, output: str) -> dict[str, str]:
    """Return the path and name of artifacts/`entry`.

    A link may lead to another file in the step's directory, which provides the name when the entry only has
    the output's.
    """
    path = directory.artifacts / entry
    if not path.is_symlink():
        return {"path": str(path), "name": entry, "entry": str(path)}
    told = os.readlink(path)
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserStepError(
            "OutputMismatch",
            f"artifacts/{_shown(entry)} is a link to {_shown(told)}, where nothing is",
        ) from error
    if not target.is_relative_to(directory.root.resolve()):
        link = f"artifacts/{_shown(entry)} is a link to {_shown(told)}"
        raise UserStepError("OutputMismatch", f"{link}, which leads out of the step's directory")
    name = entry if entry != output else _last_of(told, target)
    return {"path": str(target), "name": name, "entry": str(path)}


def _last_of(told: str, target: Path) -> str:
    """Return the name of the file or directory to which a path leads."""
    last = Path(told).name
    return target.name if last in ("", "..") else last


def _shown(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def _parsed(place: int, name: str, kind: str, declared: int | None) -> Any:
    """Return the value in a file; one that ends in .txt has a text without its last line end, or a value of another type."""
    if kind not in (".json", ".txt"):
        raise UserStepError(
            "OutputMismatch",
            f"the step wrote outputs/{name}: the files there are named <output>.json or <output>.txt",
        )
    try:
        text = opening.read(name, within=place, most=_FILE_LIMIT_BYTES).decode()
        if kind == ".txt" and declared in values.TEXTS:
            return text.removesuffix("\n").removesuffix("\r")
        return json.loads(text)
    except Unreadable as error:
        raise UserStepError("OutputMismatch", f"outputs/{error}") from error
    except ValueError as error:
        raise UserStepError(
            "OutputMismatch", f"outputs/{name} is not one JSON value: {error}"
        ) from error
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
    declared = (
        ", ".join(f"{name}: {kind}" for name, kind in values.declared(spec).items()) or "none"
    )
    raise UserStepError(
        "OutputMismatch",
        f"the step's outputs are not the declared ones: {'; '.join(parts)}. Declared: {declared}",
    )


def _value(spec: step_pb2.StepSpec, name: str, value: Any, given: Given) -> str:
    kind = values.type_name(spec.outputs[name])
    if not values.matches(value, kind):
        raise UserStepError(
            "OutputMismatch",
            f"output {name} is declared as {kind}, the step produced {_short(value)}",
        )
    if name in spec.output_contents:
        value = _with_contents(spec, name, value)
    text = _canonical(name, value)
    if (size := len(text.encode())) > _VALUE_LIMIT_BYTES:
        raise UserStepError(
            "OutputTooLarge",
            f"output {name} has {size} bytes as JSON, the limit is {_VALUE_LIMIT_BYTES}: declare it as an artifact",
        )
    if '"artifact"' in text:
        passing_on.check(name, value, given)
    return text


def _with_contents(spec: step_pb2.StepSpec, name: str, value: Any) -> Any:
    """Return a list or map whose values are of the type that they are declared with."""
    shape = d.Shape(type=spec.outputs[name], of=spec.output_contents[name])
    if problem := value_types.fault(value, shape):
        declared = value_types.name_of(shape)
        raise UserStepError(
            "OutputMismatch", f"output {name} is declared as {declared}: it {problem}"
        )
    return value_types.declared(value, shape)


def _canonical(name: str, value: Any) -> str:
    try:
        text = canonical.dumps(value)
        # A lone surrogate is valid JSON, but cannot be sent.
        text.encode()
        return text
    except (InvalidValue, UnicodeEncodeError) as error:
        raise UserStepError("OutputMismatch", f"output {name}: {error}") from error


def _artifact(
    spec: step_pb2.StepSpec, name: str, value: Any, artifacts: Artifacts, given: Given
) -> str:
    kind = values.type_name(spec.outputs[name])
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        place = _existing(name, kind, value["path"])
        called = value.get("name", _last_of(value["path"], place))
        reference = artifacts.put(place, kind, _called(name, called))
    elif isinstance(value, dict) and isinstance(value.get("uri"), str):
        reference = {"type": kind, "size": 0, "digest": "", **value}
        _called(name, reference.get("name", ""))
        passing_on.check(name, {"artifact": reference}, given)
    else:
        raise UserStepError(
            "OutputMismatch",
            f"output {name} is declared as {kind}, an artifact; the step produced {_short(value)} instead of a path or a uri",
        )
    return _canonical(name, {"artifact": reference})


def _existing(name: str, kind: str, path: str) -> Path:
    """Resolve a path that the step's code returned."""
    try:
        return Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        told = ascii(path)[1:-1]
        raise UserStepError(
            "OutputMismatch", f"output {name} ({kind}): there is no file {told}"
        ) from error


def _called(output: str, name: Any) -> str:
    """Return the name of an artifact that the step chose.

    Raises:
        UserStepError: The name is invalid.
    """
    try:
        return checked_name(name)
    except ArtifactError as error:
        raise UserStepError(
            "OutputMismatch", f"output {output} is an artifact whose name {error}"
        ) from error


def _short(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "something that is nested too deeply"
    return text if len(text) <= 80 else text[:77] + "..."
