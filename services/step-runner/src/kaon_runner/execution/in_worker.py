"""A step in a warm worker: the place that it was promised, what it occupies, and how it is ended."""

from __future__ import annotations

from kaon_runner.leases.slots import Claim
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision.child import Ending
from kaon_runner.workers.pool import WorkerPool
from kaon_runner.workers.process import Requeued, WarmWorker, WorkerOutcome, WorkerTask
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


class InWorker:
    """One step's way into a worker.

    Args:
        pool: of the runner.
        claim: what the step occupies; None when it is to follow another step in `behind`.
        behind: the worker whose running step it follows.
    """

    def __init__(self, pool: WorkerPool, *, claim: Claim | None, behind: WarmWorker | None) -> None:
        self._pool = pool
        self._claim = claim
        self._behind = behind
        self._task: WorkerTask | None = None
        if behind is not None:
            behind.expect()

    @property
    def claim(self) -> Claim | None:
        """What the step occupies now. It may have inherited it, or left it to the step behind it."""
        return self._task.claim if self._task is not None else self._claim

    @property
    def submitted(self) -> bool:
        """Whether the step was given to a worker, or is about to be."""
        return self._task is not None

    async def submit(self, spec: WorkerSpec, task: WorkerTask) -> None:
        """Gives the step to the worker that it was promised, or to another with its claim.

        Raises:
            Requeued: it has no claim, and no worker to wait in.
            UserStepError, PlatformStepError: no worker can be started.
        """
        behind = self._arrive()
        follows = behind is not None and behind.spec == spec and not behind.closed
        task.claim, self._task = self._claim, task
        if behind is not None and follows and (behind.tasks or task.claim is not None):
            behind.submit(task)
        elif task.claim is not None:
            if behind is not None:
                behind.settle_idle()
            await self._pool.submit(spec, task)
        else:
            raise Requeued

    def give_up_place(self) -> None:
        """Nothing happens when the place was taken up, or none was promised."""
        behind = self._arrive()
        if behind is not None:
            behind.settle_idle()

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Hands a message on to the step, once it is in a worker."""
        if self._task is not None and self._task.worker is not None:
            self._task.worker.signal(self._task, signal)

    def renew(self, seconds: float) -> None:
        """See `Child.renew`."""
        worker = self._task.worker if self._task is not None else None
        if worker is not None and worker.child is not None:
            worker.child.renew(seconds)

    def withdraw(self) -> bool:
        """Takes the step back if it has not started; True when that was in time."""
        if self._task is None or self._task.worker is None:
            return False
        worker = self._task.worker
        recalled = _recall(worker, self._task)
        worker.settle_idle()
        return recalled

    def stop(self) -> None:
        """Ends the step, with its worker when it runs there."""
        if self._task is None or self._task.worker is None:
            return
        worker = self._task.worker
        _recall(worker, self._task)
        if self._task in worker.tasks:
            worker.close()
        else:
            worker.settle_idle()

    async def left_with_worker(self) -> bool:
        """Whether the worker was closed; returns when nothing of it is left, then."""
        worker = self._task.worker if self._task is not None else None
        if worker is None or not worker.closed:
            return False
        await worker.gone()
        return True

    def _arrive(self) -> WarmWorker | None:
        """Takes up the place that was promised, with the claim that may wait there; None when none is promised any more."""
        behind, self._behind = self._behind, None
        if behind is not None:
            claim = behind.arrive()
            self._claim = self._claim or claim
        return behind


def _recall(worker: WarmWorker, task: WorkerTask) -> bool:
    """Takes back everything that waits in a worker. True when `task` was among it; the others go back to the queue."""
    recalled = False
    for waiting in reversed(worker.take_back()):
        if waiting is task:
            recalled = True
            task.settle(WorkerOutcome(ending=Ending(reason="stopped")))
        else:
            waiting.requeue()
    return recalled


def lane_of(request: step_pb2.StepRequest) -> tuple[str, ...]:
    """Steps of one lane may follow each other in one worker."""
    spec = request.spec
    return spec.type, spec.code_bundle, spec.requirements_file, str(spec.isolation)
