"""Runs a workflow of the catalogue as its file says, and compares what became of it with what the file expects."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from kaon import Workflow, load_workflow
from kaon.cli import schedule_file
from kaon.client import Client
from kaonapi.run.v1 import run_pb2, run_service_pb2

CATALOGUE = Path(__file__).parents[1] / "examples" / "catalogue"
FILES = sorted(CATALOGUE.glob("*/*.py"))
_WAIT_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One run that a file wants, and how it must end. What is None is not compared."""

    # Given to the run. In a text "{tmp}" is a directory of the file's own, "{here}" the workflow's; "@NAME" is a file
    # beside the workflow.
    params: Mapping[str, Any] = field(default_factory=dict)
    # The run is of this part of the workflow.
    until: Sequence[str] = ()
    only: Sequence[str] = ()
    # Answers by the path of the approval: values of its fields, or whether it is approved.
    approvals: Mapping[str, Any] = field(default_factory=dict)
    # Payloads by the signal's name, sent at once, ...
    signals: Mapping[str, Any] = field(default_factory=dict)
    # ... or as soon as the runs that came meanwhile (`while_at`) have ended.
    late_signals: Mapping[str, Any] = field(default_factory=dict)
    # Signals are sent to all runs, and their gates choose.
    to_all: bool = False
    # Nobody submits the run: a schedule of this file (NAME.toml beside the workflow) starts it at once, ...
    schedule: str = ""
    # ... or because these datasets are recorded as updated: name, partition, outputs.
    records: Sequence[tuple[str, str, Mapping[str, Any]]] = ()
    # It is submitted while the run before has not ended, as soon as this block has started.
    while_at: str = ""
    # The time for which the schedule makes the run.
    at: str = ""
    # Before the comparison, `kaon retry` of the run after it has ended so.
    retried_after: str = ""
    status: str = "SUCCEEDED"
    # Type of the run's error.
    error: str | None = None
    # All outputs of the run.
    outputs: Mapping[str, Any] | None = None
    # Statuses of steps by path, and how many of a name have succeeded.
    steps: Mapping[str, str] = field(default_factory=dict)
    count: Mapping[str, int] = field(default_factory=dict)
    # The number of a step's last attempt.
    attempts: Mapping[str, int] = field(default_factory=dict)
    # The steps whose outputs were taken from an earlier execution.
    memo: Sequence[str] | None = None
    # What stands in a step's log.
    logs: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Return the names of the steps of which something is expected."""
        paths = {*self.steps, *self.attempts, *self.logs, *(self.memo or ())}
        return {path.rpartition("/")[2] for path in paths} | {*self.count}

    @property
    def compares(self) -> bool:
        """Return whether anything but the status of the run is compared."""
        named = ("error", "outputs", "memo")
        rest = (self.steps, self.count, self.attempts, self.logs)
        return any(getattr(self, name) is not None for name in named) or any(rest)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the catalogue."""

    path: Path
    workflow: Workflow
    # Further workflows that its schedules or sub-workflows name, registered before.
    others: tuple[Workflow, ...]
    # Its runs, one after the other.
    runs: tuple[Expected, ...]
    docstring: str


@contextmanager
def modules_as_they_were() -> Iterator[None]:
    """Forgets the modules that are loaded within the context: files of two systems may share a name."""
    before, path = dict(sys.modules), [*sys.path]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [*sys.modules]:
            found = getattr(sys.modules[name], "__file__", None) or ""
            if name not in before and Path(found).is_relative_to(CATALOGUE):
                del sys.modules[name]


def read(path: Path) -> Entry:
    """Loads a file as `kaon validate` does, and what it expects.

    Raises:
        TypeError: `EXPECTED` names something that `Expected` does not have.
    """
    with modules_as_they_were():
        workflow = load_workflow(path)
        module = sys.modules[path.stem]
        said = getattr(module, "EXPECTED", {})
        names: Sequence[str] = getattr(module, "REGISTERED", ())
        others = tuple(load_workflow(path, name) for name in names)
    listed = said if isinstance(said, list) else [said]
    return Entry(
        path=path,
        workflow=workflow,
        others=others,
        runs=tuple(Expected(**each) for each in listed),
        docstring=module.__doc__ or "",
    )


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of one run."""

    run: run_service_pb2.GetRunResponse
    # The log by step, for the steps of which one is expected.
    logs: Mapping[str, str]


def perform(client: Client, entry: Entry, scratch: Path) -> list[Found]:
    """Brings all runs of a file to their ends, one after the other unless it says otherwise."""
    for other in entry.others:
        client.register(other)
    begun: list[str] = []
    found: dict[str, Found] = {}
    following = [*(each.while_at for each in entry.runs[1:]), ""]
    for expected, while_at in zip(entry.runs, following, strict=True):
        run_id = _begin(client, entry, expected, scratch)
        begun.append(run_id)
        _send(client, run_id, expected.signals, to_all=expected.to_all)
        if while_at:
            _await(client, run_id, while_at)
        else:
            found[run_id] = _finish(client, run_id, expected)
    for run_id, expected in zip(begun, entry.runs, strict=True):
        if run_id not in found:
            found[run_id] = _finish(client, run_id, expected)
    return [found[run_id] for run_id in begun]


def compare(expected: Expected, found: Found) -> None:
    """Asserts that a run became what its file expects."""
    run, steps = found.run.run, {step.path: step for step in found.run.steps}
    statuses = {path: _status(step.status) for path, step in steps.items()}
    told = f"{run.error.type}: {run.error.message}; {statuses}"
    assert _status(run.status) == expected.status, told
    if expected.error is not None:
        assert run.error.type == expected.error, told
    if expected.outputs is not None:
        assert {key: json.loads(text) for key, text in run.outputs_json.items()} == expected.outputs
    # What lies in a way that was not taken never came to be.
    assert {path: statuses.get(path, "SKIPPED") for path in expected.steps} == expected.steps, told
    done = Counter(step.name for step in steps.values() if statuses[step.path] == "SUCCEEDED")
    assert {name: done[name] for name in expected.count} == expected.count, statuses
    attempts = {path: steps[path].attempt for path in expected.attempts}
    assert attempts == expected.attempts
    if expected.memo is not None:
        taken = sorted(path for path, step in steps.items() if step.memo_run_id)
        assert taken == sorted(expected.memo)
    for path, text in expected.logs.items():
        assert text in found.logs[path]


def _send(client: Client, run_id: str, signals: Mapping[str, Any], *, to_all: bool) -> None:
    for name, payload in signals.items():
        if to_all:
            assert client.signal_all(name, payload).runs == 1
        else:
            client.signal(run_id, name, payload)


def _status(number: run_pb2.Status.ValueType) -> str:
    return run_pb2.Status.Name(number).removeprefix("STATUS_")


def _begin(client: Client, entry: Entry, expected: Expected, scratch: Path) -> str:
    if expected.schedule:
        return _scheduled(client, entry, expected)
    params = {key: _filled(value, entry, scratch) for key, value in expected.params.items()}
    handle = client.submit(entry.workflow, params, only=expected.only, until=expected.until)
    return handle.run_id


def _scheduled(client: Client, entry: Entry, expected: Expected) -> str:
    client.register(entry.workflow)
    schedule = schedule_file.read(entry.path.parent / f"{expected.schedule}.toml")
    client.schedules.put(schedule)
    if not expected.records:
        time = datetime.fromisoformat(expected.at) if expected.at else None
        return client.schedules.run(schedule.name, time).run.run_id
    for name, partition, outputs in expected.records:
        client.datasets.record(name, partition, outputs)
    return first_from(client, f"schedule:{schedule.name}").run_id


def _filled(value: Any, entry: Entry, scratch: Path) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return entry.path.parent / value[1:]
    if not isinstance(value, str):
        return value
    return value.replace("{tmp}", str(scratch)).replace("{here}", str(entry.path.parent))


def _await(client: Client, run_id: str, path: str) -> None:
    """Returns when a block has started, such as a gate."""
    for update in client.watch(run_id):
        event = update.event
        if event.block_started.path == path:
            return
    raise AssertionError(f"the run ended, and {path} never started")


def _finish(client: Client, run_id: str, expected: Expected) -> Found:
    _send(client, run_id, expected.late_signals, to_all=expected.to_all)
    for update in client.watch(run_id):
        path = update.event.block_started.path
        if path in expected.approvals:
            given = expected.approvals[path]
            values = given if isinstance(given, dict) else None
            client.answer(run_id, path, approved=given is not False, values=values)
    run = client.run(run_id)
    if expected.retried_after:
        assert _status(run.run.status) == expected.retried_after, run.run.error
        client.retry(run_id)
        for _ in client.watch(run_id, run.run.last_seq):
            pass
        run = client.run(run_id)
    logs = {path: b"".join(client.whole_log(run_id, path)).decode() for path in expected.logs}
    return Found(run=run, logs=logs)


def first_from(client: Client, origin: str) -> run_pb2.Run:
    """Returns the first run that something has submitted, as soon as it is there."""
    deadline = monotonic() + _WAIT_SECONDS
    while True:
        found = [run for run in client.runs(limit=200) if run.origin == origin]
        if found:
            return found[-1]
        assert monotonic() < deadline, [run.origin for run in client.runs()]
        sleep(0.1)
