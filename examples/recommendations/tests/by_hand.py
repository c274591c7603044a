"""Runs one step the way a runner does, by the step protocol, without anything around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kaon.helpers

BUNDLE = Path(__file__).parents[1]
HELPERS = Path(kaon.helpers.__file__).parent
_SECONDS = 180


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A step that has ended."""

    code: int
    # Values as they are; artifacts as references with a local path, ready to be another step's input.
    outputs: Mapping[str, Any]
    events: list[dict[str, Any]]
    # Standard output and error.
    text: str


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps in directories of their own under `root`."""

    root: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def python(self, target: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]) -> Ended:
        """Calls a function."""
        return self._run([*_MAIN, target], inputs, outputs, {})

    def hive(self, file: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]) -> Ended:
        """Runs the statements of a file."""
        return self._run(
            [*_MAIN, "kaon_runner.children.hive:run", "--whole"], inputs, outputs, {"file": file}
        )

    def query(self, text: str, outputs: Mapping[str, str]) -> Ended:
        """Runs statements."""
        return self._run(
            [*_MAIN, "kaon_runner.children.hive:run", "--whole"], {}, outputs, {"query": text}
        )

    def spark(self, entry: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]) -> Ended:
        """Calls a function as a client of the Spark server."""
        return self._run(
            [*_MAIN, "kaon_runner.children.spark:run", "--whole"], inputs, outputs, {"entry": entry}
        )

    def scala(
        self, file: str, main: str, inputs: Mapping[str, Any], outputs: Mapping[str, str]
    ) -> Ended:
        """Compiles a source file, if it is new, and runs it."""
        module = [sys.executable, "-m", "kaon_runner.children.scala"]
        argv = [
            *module,
            str(BUNDLE / file),
            str(HELPERS / "Kaon.scala"),
            str(self.root / "scala-cache"),
            main,
        ]
        return self._run(argv, inputs, outputs, {})

    def _run(
        self,
        argv: list[str],
        inputs: Mapping[str, Any],
        outputs: Mapping[str, str],
        config: Mapping[str, Any],
    ) -> Ended:
        directory = self.root / uuid.uuid4().hex
        _prepare(directory, inputs, outputs, config)
        events: list[bytes] = []
        # Held open for writing as well: a step that sends nothing would leave the reader waiting for a writer.
        held = os.open(directory / "events", os.O_RDWR)
        reader = threading.Thread(target=_read, args=(directory / "events", events))
        reader.start()
        env = {
            **os.environ,
            "KAON_STEP_DIR": str(directory),
            "KAON_BUNDLE": str(BUNDLE),
            "KAON_SPARK_SESSION": str(uuid.uuid4()),
            "PYTHONPATH": str(BUNDLE),
            "OPENBLAS_NUM_THREADS": "1",
            **self.env,
        }
        try:
            done = subprocess.run(
                argv,
                cwd=directory / "work",
                env=env,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        finally:
            _end_reader(held, reader)
        found = [event for line in events if (event := json.loads(line))["kind"] != "end"]
        text = done.stdout + done.stderr
        return Ended(
            code=done.returncode, outputs=_outputs(directory, outputs), events=found, text=text
        )


_MAIN = (sys.executable, "-m", "kaon.step.main")


def artifact(path: Path, kind: str = "dataset") -> dict[str, Any]:
    """A local file as a step's input."""
    return {
        "artifact": {
            "uri": f"file://{path}",
            "type": kind,
            "size": 0,
            "digest": "",
            "path": str(path),
        }
    }


def _prepare(
    directory: Path,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, str],
    config: Mapping[str, Any],
) -> None:
    names = ("work", "outputs", "artifacts")
    for name in names:
        (directory / name).mkdir(parents=True)
    for pipe in ("events", "commands"):
        os.mkfifo(directory / pipe)
    context = {
        "protocol": 1,
        "run_id": "by-hand",
        "workflow": "recommendations",
        "step": "step",
        "name": "step",
        "tenant": "default",
        "attempt": 1,
        "generation": 1,
        "iteration": 1,
        "checkpoint": None,
        "params": {name: value for name, value in inputs.items() if not isinstance(value, dict)},
        "inputs": dict(inputs),
        "outputs": dict(outputs),
        "scratch": f"file://{directory}/scratch",
        "paths": {name: str(directory / name) for name in (*names, "events", "commands")},
        "config": dict(config),
    }
    (directory / "context.json").write_text(json.dumps(context), encoding="utf-8")


def _read(pipe: Path, lines: list[bytes]) -> None:
    with pipe.open("rb") as open_pipe:
        lines.extend(open_pipe)


def _end_reader(held: int, reader: threading.Thread) -> None:
    os.write(held, b'{"kind": "end"}\n')
    os.close(held)
    reader.join()


def _outputs(directory: Path, declared: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((directory / "outputs").iterdir()):
        value = json.loads(path.read_text(encoding="utf-8"))
        where = isinstance(value, dict) and "uri" in value
        found[path.stem] = {"artifact": {"digest": "", "size": 0, **value}} if where else value
    for path in sorted((directory / "artifacts").iterdir()):
        name = path.name.partition(".")[0]
        found[name] = artifact(path, declared[name])
    return found
