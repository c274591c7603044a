"""The directory of one step, as the step protocol defines it. Created on disk only on demand."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kaon_runner.disk.space import remove_tree

# The "paths" of context.json, with ? for the directory.
_PATHS = json.dumps(
    {name: f"?/{name}" for name in ("work", "outputs", "artifacts", "events", "commands")},
    separators=(",", ":"),
)


@dataclass(frozen=True, kw_only=True)
class StepDirectory:
    """Paths of one step. `create` makes them; the runner does so before it starts a command."""

    # Its path. A text, because most steps need no more.
    place: str

    @cached_property
    def root(self) -> Path:
        """Return the directory itself."""
        return Path(self.place)

    @property
    def context(self) -> Path:
        """Return the path of the JSON file with the step's context."""
        return self.root / "context.json"

    @property
    def work(self) -> Path:
        """Return the step's working directory."""
        return self.root / "work"

    @property
    def outputs(self) -> Path:
        """Return the directory in which the step writes `<name>.json` or `<name>.txt` for each value output."""
        return self.root / "outputs"

    @property
    def artifacts(self) -> Path:
        """Return the directory in which the step writes a file or directory `<name>` for each artifact output."""
        return self.root / "artifacts"

    @property
    def inputs(self) -> Path:
        """Return the directory of links to local copies of artifacts."""
        return self.root / "inputs"

    @property
    def events(self) -> Path:
        """Return the named pipe from the step to the runner."""
        return self.root / "events"

    @property
    def checkpoint(self) -> Path:
        """Return the file of a checkpoint that exceeds a line of `events`."""
        return self.root / "checkpoint.json"

    @property
    def commands(self) -> Path:
        """Return the named pipe from the runner to the step."""
        return self.root / "commands"

    @property
    def paths_json(self) -> str:
        """Return the "paths" of context.json."""
        return _PATHS.replace("?", json.encoder.encode_basestring(self.place)[1:-1])

    def exists(self) -> bool:
        """Tell whether anything was created on disk."""
        return os.access(self.place, os.F_OK)

    def create(self) -> None:
        """Make the directories and the two pipes unless they exist."""
        for path in (self.work, self.outputs, self.artifacts):
            path.mkdir(parents=True, exist_ok=True)
        for pipe in (self.events, self.commands):
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)

    def write_context(self, context: str) -> None:
        """Write context.json."""
        self.context.write_text(context, encoding="utf-8")

    def remove(self) -> None:
        """Remove everything; do nothing when it was never created."""
        remove_tree(self.root)
