"""What the tests of step types share: code bundles, and looks into the engines from the outside."""

from __future__ import annotations

import json
import time
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import MemorySystem

from kaon_artifacts import Artifact, ArtifactStore
from kaonapi.step.v1 import step_pb2

# What the user of a cancel may have to wait.
CANCEL_SECONDS = 5.0


def bundle(system: MemorySystem, files: Mapping[str, str]) -> str:
    """The digest of a stored code bundle with these files."""
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "bundle.zip"
        with zipfile.ZipFile(archive, "w") as kept:
            for name, text in files.items():
                kept.writestr(name, text)
        return ArtifactStore(system.settings.artifacts).put_file(archive, "file").digest


def artifact(system: MemorySystem, path: Path, kind: str) -> dict[str, Any]:
    """A stored file or directory, as an input."""
    store = ArtifactStore(system.settings.artifacts)
    kept = store.put_directory(path, kind) if path.is_dir() else store.put_file(path, kind)
    return {"artifact": kept.to_json()}


def run(
    system: MemorySystem, wanted: step_pb2.StepRequest, seconds: float = 60.0
) -> step_pb2.StepEvent:
    """Releases a step and returns the event that ends it."""
    system.release(wanted)
    return system.final(wanted.key, seconds)


def outputs(event: step_pb2.StepEvent) -> dict[str, Any]:
    """The outputs of a step that succeeded."""
    assert event.WhichOneof("event") == "succeeded", event
    return {name: json.loads(text) for name, text in event.succeeded.outputs_json.items()}


def error(event: step_pb2.StepEvent) -> step_pb2.StepError:
    """The error of a step that failed."""
    assert event.WhichOneof("event") == "failed", event
    return event.failed.error


def user_error(event: step_pb2.StepEvent) -> str:
    """The message of a failure of class USER."""
    failed = error(event)
    assert failed.error_class == step_pb2.ERROR_CLASS_USER, failed
    return failed.message


def platform_error(event: step_pb2.StepEvent) -> str:
    """The message of a failure of class PLATFORM."""
    failed = error(event)
    assert failed.error_class == step_pb2.ERROR_CLASS_PLATFORM, failed
    return failed.message


def content(system: MemorySystem, value: Mapping[str, Any]) -> bytes:
    """What an artifact output holds."""
    with ArtifactStore(system.settings.artifacts).open(
        Artifact.from_json(value["artifact"])
    ) as file:
        return bytes(file.read())


def progress(system: MemorySystem, wanted: step_pb2.StepRequest) -> list[str]:
    """The messages of the progress that a step has told."""
    return [
        event.progress.message
        for event in tuple(system.events)
        if event.key == wanted.key and event.WhichOneof("event") == "progress"
    ]


def texts(system: MemorySystem, wanted: step_pb2.StepRequest) -> list[str]:
    """The lines that a step has printed so far."""
    return [line.text for line in system.lines(wanted.key)]


def soon(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Returns when the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def busy(ui: str) -> int:
    """How many jobs and tasks the Spark server is working on, by its REST API; a cancelled job may still have tasks."""
    application = _asked(f"{ui}/api/v1/applications")[0]["id"]
    place = f"{ui}/api/v1/applications/{application}"
    executors = _asked(f"{place}/executors")
    return len(_asked(f"{place}/jobs?status=running")) + sum(
        each["activeTasks"] for each in executors
    )


def _asked(url: str) -> Any:
    # Beside an endless query the server may take its time.
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)
