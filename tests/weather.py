"""What tests in bad weather share: how long they last, what was executed, and what was accepted.

They are short unless KAON_CHAOS_FULL=1, which gives them the length and the numbers with which figures are measured.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from support import Api, ledger_lines

from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

FULL = os.environ.get("KAON_CHAOS_FULL") == "1"
T = TypeVar("T")


def full_or(full: T, short: T) -> T:
    """The value for the long test when that is wanted."""
    return full if FULL else short


def runner_named(system: System, name: str) -> Any:
    """The runner with this id."""
    return next(each for each in system.runners if each.config.env["KAON_RUNNER_ID"] == name)


def accepted_once(api: Api, run: str) -> None:
    """Fails unless every step of the run has ended exactly once, with success."""
    ended: Counter[str] = Counter()
    for event in api.history(run):
        if event.HasField("step_ended"):
            assert event.step_ended.status == run_pb2.STATUS_SUCCEEDED, event
            ended[event.step_ended.path] += 1
    twice = {path: count for path, count in ended.items() if count != 1}
    assert not twice, f"accepted more than once: {twice}"


def total_of(api: Api, run: str) -> int:
    """The sum that the last step of a storm has made of all results."""
    return int(json.loads(api.steps(run)["join"].outputs_json["total"]))


def starts(ledger: Path) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The starts of each step, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in sorted(ledger_lines(ledger), key=lambda line: line["time"]):
        if line["event"] == "started":
            found[line["step"]].append(line)
    return found


def running_steps(ledger: Path, runner: str = "") -> dict[str, str]:
    """The runner of each step that has started and not ended; only those of one runner when it is named."""
    running: dict[str, str] = {}
    for line in ledger_lines(ledger):
        if line["event"] == "started":
            running[line["step"]] = line["runner"]
        else:
            running.pop(line["step"], None)
    return {step: holder for step, holder in running.items() if runner in ("", holder)}


def started_since(ledger: Path, steps: Iterable[str], time: float) -> bool:
    """Whether all of the steps have started after `time`, seconds since the epoch."""
    found = starts(ledger)
    return all(found[step][-1]["time"] > time for step in steps)


def lost(steps: Iterable[run_pb2.StepView]) -> int:
    """How many runners the steps have lost."""
    return sum(step.lost_runners for step in steps)
