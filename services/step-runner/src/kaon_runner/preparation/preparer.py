"""Prepares a released step: the context, local copies of artifacts, the unpacked code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kaon_artifacts import Unreadable, opening
from kaon_runner.artifacts.base import Artifacts
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.errors import UserStepError
from kaon_runner.outputs import values
from kaon_runner.preparation.environments import Environments
from kaon_runner.steptypes.base import PreparedStep
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LeaseClaim, show
from kaonapi.step.v1 import step_pb2

PROTOCOL = 1
# Types of steps whose own code, which is Kaon's, calls a service of Kaon under the step's lease.
_LEASE_SHOWING = frozenset({"publish"})
# Type of the reference of an input that was too large for a record.
_KEPT_VALUE_BYTES = 256 << 20
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./-")
# Of a text alone: an encoder looks at the type of what it gets first, thirty times for each step.
_quote = json.encoder.encode_basestring
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Preparer:
    """Prepares steps.

    Args:
        artifacts: The artifact store.
        steps: The directory of step directories.
        scratch: The base URL of scratch directories.
        incarnation: The runner's incarnation.
        environments: Builds environments from requirements files.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        *,
        steps: Path,
        scratch: str,
        incarnation: str,
        environments: Environments,
    ) -> None:
        self._environments = environments
        # Interpreters by code bundle and requirements file, as far as they are known to exist.
        self._pythons: dict[tuple[str, str], str] = {}
        self._artifacts = artifacts
        self._steps = steps
        self._scratch = scratch
        self._incarnation = incarnation
        self._count = 0

    def is_quick(self, spec: step_pb2.StepSpec) -> bool:
        """Tell whether `prepare` needs no files and may be called on the loop."""
        return (
            not _refers(spec)
            and (not spec.code_bundle or self._artifacts.has_bundle(spec.code_bundle))
            and (
                not spec.requirements_file
                or (spec.code_bundle, spec.requirements_file) in self._pythons
            )
        )

    def prepare(
        self, request: step_pb2.StepRequest, building: Callable[[], object]
    ) -> PreparedStep:
        """Return the step with fetched inputs and unpacked code. May take long for large artifacts.

        Args:
            request: The step.
            building: Called, in this thread, before the step's environment is built.

        Raises:
            UserStepError: The step's environment cannot be built, or an input names an invalid artifact.
            PlatformStepError: An artifact or the bundle cannot be read.
        """
        key, spec = request.key, request.spec
        self._count += 1
        directory = StepDirectory(place=f"{self._steps}/{self._count}")
        scratch = self.scratch_of(key)
        bundle = self._artifacts.bundle(spec.code_bundle) if spec.code_bundle else None
        step = PreparedStep(
            key=key,
            spec=spec,
            directory=directory,
            context_json=self._context(key, spec, directory, scratch),
            bundle=bundle,
            scratch=scratch,
            resources=request.resources,
        )
        return (
            replace(step, python=self._python_of(step, building))
            if spec.requirements_file
            else step
        )

    def _python_of(self, step: PreparedStep, building: Callable[[], object]) -> str:
        place = step.spec.code_bundle, step.spec.requirements_file
        if place not in self._pythons:
            self._pythons[place] = self._environments.python_of(
                step.bundle_file(step.spec.requirements_file), building
            )
        return self._pythons[place]

    def stop(self) -> None:
        """End work that would delay a leaving runner."""
        self._environments.stop()

    def scratch_of(self, key: step_pb2.StepKey) -> str:
        """Return the URL of this lease's scratch directory."""
        lease = f"{key.attempt}-{key.generation}-{self._incarnation}"
        return "/".join((self._scratch.rstrip("/"), key.run_id, quoted(key.path), lease))

    def _context(
        self, key: step_pb2.StepKey, spec: step_pb2.StepSpec, directory: StepDirectory, scratch: str
    ) -> str:
        """Return context.json, composed from the received JSON, most of which is passed on unchanged."""
        path = key.path
        inputs, params = self._inputs(spec)
        kinds = [f'{_quote(name)}:"{kind}"' for name, kind in values.declared(spec).items()]
        more = ',"serves":true' if spec.serves else ""
        if key.lease_token and spec.type in _LEASE_SHOWING:
            more += f',"lease":{_quote(self._shown_lease(key, spec))}'
        # One expression: to name and quote the parts one by one took a tenth of what the runner does for a step.
        return (
            f'{{"protocol":{PROTOCOL},"run_id":{_quote(key.run_id)},"workflow":{_quote(spec.workflow)},'
            f'"workflow_version":{_quote(spec.workflow_version)},"tenant":{_quote(spec.tenant)},'
            f'"step":{_quote(path)},"name":{_quote(path.rpartition("/")[2])},"attempt":{key.attempt},'
            f'"generation":{key.generation},"iteration":{spec.iteration},"inputs":{inputs},"params":{params},'
            f'"outputs":{{{",".join(kinds)}}},"scratch":{_quote(scratch)},"paths":{directory.paths_json},'
            f'"config":{spec.config_json or "{}"},"checkpoint":{spec.checkpoint_json or "null"}{more}}}'
        )

    def _shown_lease(self, key: step_pb2.StepKey, spec: step_pb2.StepSpec) -> str:
        claim = LeaseClaim(
            tenant=spec.tenant,
            run_id=key.run_id,
            path=key.path,
            attempt=key.attempt,
            generation=key.generation,
            incarnation=self._incarnation,
        )
        return show(claim, key.lease_token)

    def _inputs(self, spec: step_pb2.StepSpec) -> tuple[str, str]:
        """Return the "inputs" and the "params" of context.json."""
        texts = {name: spec.inputs_json[name] for name in sorted(spec.inputs_json)}
        if not _refers(spec):
            text = _object(texts)
            return text, text
        try:
            return self._with_artifacts(texts)
        except (RecursionError, InvalidValue) as error:
            raise UserStepError("InvalidInputs", f"the inputs cannot be read: {error}") from error

    def _with_artifacts(self, texts: Mapping[str, str]) -> tuple[str, str]:
        inputs = {name: self._localized(canonical.loads(text)) for name, text in texts.items()}
        params = {name: value for name, value in inputs.items() if not _holds_artifact(value)}
        return _encode(inputs), _encode(params)

    def _localized(self, value: Any) -> Any:
        """Return `value` with the path of its local copy added to every artifact reference in it.

        Inputs that came as artifacts because of their size are put back in place.
        """
        if isinstance(value, list):
            return [self._localized(item) for item in value]
        if not _is_reference(value):
            return value
        reference = value["artifact"]
        if not isinstance(reference, dict) or not isinstance(reference.get("uri", ""), str):
            raise UserStepError(
                "InvalidArtifact", "an input has an artifact without a reference to it"
            )
        path = self._artifacts.fetch(reference)
        if path is not None and reference.get("type") in tuple(_KEPT_VALUES):
            return self._localized(_kept_value(path, reference["type"], reference["digest"]))
        # A path is where this runner put the copy, never what a reference claims.
        told = {name: each for name, each in reference.items() if name != "path"}
        return {"artifact": {**told, "path": str(path)} if path else told}


def _object(parts: Mapping[str, str]) -> str:
    """Return a JSON object composed of the JSON of its values."""
    return "{" + ",".join([f"{_quote(name)}:{text}" for name, text in parts.items()]) + "}"


def _refers(spec: step_pb2.StepSpec) -> bool:
    """Tell whether an input may be, or contain, an artifact."""
    texts = spec.inputs_json
    # Not over values(): the map is implemented in Python, and slow. Nor by any(), whose generator costs more than the look.
    for name in texts:
        text = texts[name]
        if '"artifact"' in text or "\\u" in text:
            return True
    return False


class _Quoting(dict[int, str]):
    """For `str.translate`: the replacement of a character, computed on first use."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        safe = character in _SAFE
        self[code] = character if safe else "".join(f"_{byte:02x}" for byte in character.encode())
        return self[code]


_quoting = _Quoting()


def quoted(name: str) -> str:
    """Return `name` with all characters that are special in URLs or file systems as `_hex`; different names stay different."""
    return name.translate(_quoting)


def _from_lines(text: str) -> list[Any]:
    # Not splitlines: JSON may contain other characters that count as line ends.
    return [canonical.loads(line) for line in text.split("\n") if line]


# The engine's encodings of inputs that are too large for a record, by the type of the artifact.
_KEPT_VALUES: Mapping[str, Callable[[str], Any]] = {"list": _from_lines, "value": canonical.loads}


def _kept_value(path: Path, kind: str, digest: str) -> Any:
    """Return the value in the local copy of an input that was too large for a record."""
    try:
        return _KEPT_VALUES[kind](opening.read(path, most=_KEPT_VALUE_BYTES).decode())
    except (Unreadable, UnicodeDecodeError, InvalidValue) as error:
        raise UserStepError(
            "InvalidArtifact",
            f"artifact {digest} is no {kind} that was kept as JSON: {type(error).__name__}",
        ) from error


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"artifact"}


def _holds_artifact(value: Any) -> bool:
    return _is_reference(value) or (
        isinstance(value, list) and any(_holds_artifact(item) for item in value)
    )
