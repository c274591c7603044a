"""What the executions have written, read as it grows."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_LOOK_SECONDS = 0.01


class WrongCount(Exception):
    """A step was not executed exactly once, or not at all in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """One line; nanoseconds since the epoch."""

    step: str
    start: int
    end: int


@dataclass(kw_only=True)
class Ledger:
    """A file to which every execution of one workload appends its line."""

    path: Path
    _offset: int = 0
    _lines: int = 0
    _rest: bytes = b""
    _runs: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))

    def wait(self, count: int, *, seconds: float) -> None:
        """Returns when so many lines are there.

        Raises:
            WrongCount: they are not, in time.
        """
        deadline = time.monotonic() + seconds
        while self._read() < count:
            if time.monotonic() > deadline:
                raise WrongCount(f"{self._lines} of {count} executions after {seconds:.0f} s")
            time.sleep(_LOOK_SECONDS)

    def runs(self) -> dict[str, list[Execution]]:
        """Executions by run, in order of their start."""
        self._read()
        return {
            run: sorted(found, key=lambda each: each.start) for run, found in self._runs.items()
        }

    def check(self, runs: Iterable[str], steps: Iterable[str]) -> None:
        """Raises WrongCount unless each of the steps was executed exactly once in each of the runs, and nothing else was."""
        expected = dict.fromkeys(steps, 1)
        found = self.runs()
        for run in runs:
            counts = Counter(each.step for each in found.pop(run, ()))
            if counts != expected:
                wrong = sorted(
                    (counts - Counter(expected)).items() or (Counter(expected) - counts).items()
                )
                raise WrongCount(
                    f"run {run}: executions that are too many, or missing: {wrong[:5]}"
                )
        if found:
            raise WrongCount(f"executions of runs that nobody has submitted: {sorted(found)[:5]}")

    def _read(self) -> int:
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                run, step, start, end = line.decode().split(" ")
                self._runs[run].append(Execution(step=step, start=int(start), end=int(end)))
            self._lines += len(lines)
        return self._lines
