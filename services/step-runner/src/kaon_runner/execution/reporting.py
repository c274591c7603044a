"""Reports the progress and the outcome of one lease to the engine, and stores the step's log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import structlog

from kaon_runner.execution.surroundings import Stop, Surroundings
from kaon_runner.leases.table import Lease
from kaon_runner.logs.step_log import STDERR, StepLog
from kaon_runner.logs.store import LogStore
from kaon_runner.outbox import reports
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)

# The outcome of an attempt; None: it was stopped.
Result: TypeAlias = step_pb2.StepSucceeded | step_pb2.StepFailed | None


class Reporter:
    """Reports on one lease.

    Attributes:
        log: Receives the step's output.
        announced: Whether Started was reported.
        error: The step's own report of its failure.
    """

    def __init__(self, lease: Lease, around: Surroundings) -> None:
        self.announced = False
        self.error: Mapping[str, Any] | None = None
        self._lease = lease
        self._around = around
        name = f"{id(self):x}-{lease.key.generation}.log"
        store = LogStore(around.logs, name, around.settings.log_limit_bytes)
        self.log = StepLog(lease.key, store, lambda lines: around.send_log(lease.partition, lines))

    def announce(self) -> None:
        """Report Started once."""
        if not self.announced:
            self.announced = True
            self._tell(started=step_pb2.StepStarted())

    def event(self, message: Mapping[str, Any]) -> None:
        """Report an event of the step protocol."""
        if message.get("kind") == "error":
            self.error = message
            return
        try:
            event = reports.from_protocol(self._lease.key, message)
        except reports.MALFORMED as error:
            self.log.remark(f"an event of the step does not follow the step protocol ({error})")
            return
        if event is not None:
            self._around.report(self._lease, event)

    def serves(self, outputs_json: Mapping[str, str]) -> None:
        """Report that the step serves others."""
        self._tell(serves=step_pb2.StepServes(outputs_json=outputs_json))

    async def finish(self, result: Result, stop: Stop | None, *, used_bytes: int) -> None:
        """Send the log and the outcome.

        Args:
            result: The outcome of the attempt.
            stop: The reason of its stop.
            used_bytes: Its disk usage when that exceeded the limit.
        """
        if result is None and stop in (Stop.TIMEOUT, Stop.DISK):
            result = self._overrun(stop, used_bytes)
        if isinstance(result, step_pb2.StepFailed):
            self._print_details(result.error.details)
        log_json = await self._finish_log(stop)
        if stop is Stop.STALE:
            return
        if result is None and stop in (Stop.LEAVING, Stop.WITHDRAWN):
            reason = "withdrawn" if stop is Stop.WITHDRAWN else "the runner is leaving"
            self._tell(handed_back=step_pb2.StepHandedBack(reason=reason))
        elif result is None:
            self._tell(stopped=step_pb2.StepStopped(log_json=log_json))
        elif isinstance(result, step_pb2.StepSucceeded):
            result.log_json = log_json
            self._tell(succeeded=result)
        else:
            result.log_json = log_json
            self._tell(failed=result)

    def _tell(self, **what: Any) -> None:
        self._around.report(self._lease, reports.event(self._lease.key, **what))

    def _overrun(self, stop: Stop, used_bytes: int) -> step_pb2.StepFailed:
        """Return the failure of a step that the runner stopped for exceeding a limit."""
        if stop is Stop.DISK:
            used, limit = (
                size / 2**20 for size in (used_bytes, self._around.settings.step_disk_bytes)
            )
            text = f"the step's directory and scratch space hold {used:.1f} MiB, its quota is {limit:.1f} MiB"
            return reports.failed(reports.USER, "DiskQuota", text, self.log.tail())
        seconds = self._lease.request.spec.timeout_ms / 1000
        text = f"the attempt ran longer than its limit of {seconds:g} s"
        return reports.failed(reports.USER, "Timeout", text, self.log.tail())

    def _print_details(self, details: str) -> None:
        """End the log with the traceback or other details of a failure, unless the step has printed them."""
        text = details.strip("\n")
        self.log.end_streams()
        if text and text not in self.log.tail():
            self.log.feed(STDERR, f"{text}\n".encode())

    async def _finish_log(self, stop: Stop | None) -> str:
        """Send the last lines, store the complete log, and return its reference as JSON."""
        self.log.end_streams()
        self.log.flush()
        store = self.log.store
        if store.size == 0 or stop is Stop.STALE:
            store.remove()
            return ""
        return await self._around.off_loop(self._store_log)

    def _store_log(self) -> str:
        try:
            path = self.log.store.finish()
            assert path is not None
            return json.dumps(
                {
                    "artifact": self._around.artifacts.put(path, "text", ""),
                    # Who reads it from its end knows the numbers of its lines by this.
                    "lines": self.log.store.lines,
                },
                separators=(",", ":"),
                sort_keys=True,
            )
        except Exception:
            # The lines were sent by the log topic; the result must not fail because of the log.
            log.exception("step log not stored; result reported without it", **self._lease.fields)
            return ""
        finally:
            self.log.store.remove()
