"""The directory of one step, as the step protocol lays it out. Nothing is made on disk before somebody needs it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kaon_runner.disk.space import remove_tree

_NAMES = ("work", "outputs", "artifacts", "events", "commands")


@dataclass(frozen=True, kw_only=True)
class StepDirectory:
    """Paths of one step. `create` makes them; the runner does so before it starts a command."""

    # Where it is, or will be. Text, for most steps need no more of it.
    place: str

    @cached_property
    def root(self) -> Path:
        """The directory itself."""
        return Path(self.place)

    @property
    def context(self) -> Path:
        """The JSON file that tells the step what it is and what it gets."""
        return self.root / "context.json"

    @property
    def work(self) -> Path:
        """The step's working directory."""
        return self.root / "work"

    @property
    def outputs(self) -> Path:
        """Where the step writes `<name>.json` for each value output."""
        return self.root / "outputs"

    @property
    def artifacts(self) -> Path:
        """Where the step writes a file or directory `<name>` for each artifact output."""
        return self.root / "artifacts"

    @property
    def inputs(self) -> Path:
        """Where local copies of artifacts are linked."""
        return self.root / "inputs"

    @property
    def events(self) -> Path:
        """Named pipe from the step to the runner."""
        return self.root / "events"

    @property
    def checkpoint(self) -> Path:
        """A checkpoint that is too long for a line of `events`."""
        return self.root / "checkpoint.json"

    @property
    def commands(self) -> Path:
        """Named pipe from the runner to the step."""
        return self.root / "commands"

    def paths(self) -> dict[str, str]:
        """The "paths" of context.json."""
        return {name: f"{self.place}/{name}" for name in _NAMES}

    def exists(self) -> bool:
        """Whether anything was made on disk."""
        return os.access(self.place, os.F_OK)

    def create(self) -> None:
        """Makes the directories and the two pipes; nothing happens when they are there."""
        for path in (self.work, self.outputs, self.artifacts):
            path.mkdir(parents=True, exist_ok=True)
        for pipe in (self.events, self.commands):
            if not pipe.exists():
                os.mkfifo(pipe, 0o600)

    def write_context(self, context: str) -> None:
        """Writes context.json."""
        self.context.write_text(context, encoding="utf-8")

    def remove(self) -> None:
        """Removes everything; nothing happens when it was never made."""
        remove_tree(self.root)
