"""A load that goes on while things break, and what must be true of it afterwards, seen from outside over the API."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import grpc
from support import AWAY, Api

from kaon import Workflow
from kaonapi.run.v1 import history_pb2, run_pb2

# Pauses between submits that were not acknowledged.
_PAUSE_SECONDS = 0.2


@dataclass
class Outcome:
    """What became of a load."""

    # Runs that were acknowledged.
    runs: list[str] = field(default_factory=list)
    # Submits that had to be repeated: no answer, or a refusal for the moment.
    repeated: int = 0
    # Steps that were accepted, over all runs.
    steps: int = 0
    # Leases that ended without a result, over all runs.
    lost: int = 0
    # The longest time between two accepted steps, seconds.
    longest_pause: float = 0.0
    # Seconds from the first submit to the last accepted step.
    seconds: float = 0.0


class Workload:
    """Submits runs of one workflow, a fixed number at a time, from `start` to `finish`.

    Args:
        address: host:port of the API.
        workflow: what to submit.
        at_once: runs that may be under way.
        pause: seconds between the end of a run and the next one.
        params: of every run.
    """

    def __init__(
        self,
        address: str,
        workflow: Workflow,
        *,
        at_once: int = 4,
        total: int = 100_000,
        pause: float = 0.0,
        **params: object,
    ) -> None:
        self._address = address
        self._workflow = workflow
        self._params = params
        self._total = total
        self._pause = pause
        self._numbers = iter(range(total))
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._outcome = Outcome()
        self._failures: list[BaseException] = []
        self._times: list[float] = []
        self._key = f"load-{time.time_ns()}"
        api = Api(address)
        self._version = api.register(workflow)
        api.close()
        self._threads = [
            threading.Thread(target=self._submit_and_follow, daemon=True) for _ in range(at_once)
        ]

    def start(self) -> Workload:
        """Begins to submit."""
        for thread in self._threads:
            thread.start()
        return self

    @property
    def acknowledged(self) -> int:
        """How many runs have been acknowledged so far. Raises what went wrong with one of them."""
        if self._failures:
            raise self._failures[0]
        return len(self._outcome.runs)

    @property
    def accepted(self) -> int:
        """How many steps of ended runs have been accepted so far."""
        return self._outcome.steps

    def finish(self, seconds: float = 120) -> Outcome:
        """Submits nothing more, waits for what was acknowledged, and checks it.

        Raises:
            AssertionError: something that was acknowledged did not end as it must.
        """
        self._stopping.set()
        return self.join(seconds)

    def join(self, seconds: float = 300) -> Outcome:
        """Waits until all runs have been submitted and have ended, and checks them; see `finish`."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        if self._failures:
            raise self._failures[0]
        hanging = sum(thread.is_alive() for thread in self._threads)
        assert not hanging, f"{hanging} acknowledged runs have not ended within {seconds:g} s"
        times = sorted(self._times)
        self._outcome.longest_pause = max(
            (later - earlier for earlier, later in pairwise(times)), default=0.0
        )
        self._outcome.seconds = times[-1] - times[0] if times else 0.0
        return self._outcome

    def _submit_and_follow(self) -> None:
        api = Api(self._address)
        try:
            while not self._stopping.is_set():
                with self._lock:
                    number = next(self._numbers, None)
                if number is None:
                    return
                self._follow(api, self._submit(api, f"{self._key}-{number}"))
                self._stopping.wait(self._pause)
        except BaseException as error:
            self._failures.append(error)
        finally:
            api.close()

    def _submit(self, api: Api, key: str) -> str:
        """Repeats with the same key until there is an answer: however often, it is one run."""
        while True:
            try:
                run = api.submit_version(self._workflow.name, self._version, key, **self._params)
            except grpc.RpcError:
                with self._lock:
                    self._outcome.repeated += 1
                time.sleep(_PAUSE_SECONDS)
                continue
            with self._lock:
                self._outcome.runs.append(run)
            return run

    def _follow(self, api: Api, run: str) -> None:
        accepted: Counter[str] = Counter()
        times: list[float] = []
        for event in self._history(api, run):
            if event.HasField("step_ended"):
                accepted[event.step_ended.path] += 1
                times.append(event.time_us / 1e6)
        ended, steps = self._ended(api, run)
        assert ended.status == run_pb2.STATUS_SUCCEEDED, f"run {run}: {ended.error}"
        twice = {path: count for path, count in accepted.items() if count != 1}
        assert not twice, f"run {run}: steps were accepted more than once: {twice}"
        assert accepted.keys() == steps.keys(), f"run {run}: {accepted.keys() ^ steps.keys()}"
        with self._lock:
            self._times += times
            self._outcome.steps += len(accepted)
            self._outcome.lost += sum(step.lost_runners for step in steps.values())

    def _history(self, api: Api, run: str) -> list[history_pb2.HistoryEvent]:
        return list(api.history(run, 600))

    def _ended(self, api: Api, run: str) -> tuple[run_pb2.Run, dict[str, run_pb2.StepView]]:
        while True:
            try:
                answer = api.get(run)
            except grpc.RpcError as error:
                if error.code() not in AWAY | {grpc.StatusCode.DEADLINE_EXCEEDED}:  # type: ignore[attr-defined]
                    raise
                continue
            return answer.run, {step.path: step for step in answer.steps}
