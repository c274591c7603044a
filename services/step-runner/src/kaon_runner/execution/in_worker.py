"""A step in a warm worker: its promised place, its claim, and its end."""

from __future__ import annotations

from kaon_runner.leases.slots import Claim
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision.child import Ending
from kaon_runner.workers.pool import WorkerPool
from kaon_runner.workers.process import Requeued, WarmWorker, WorkerOutcome, WorkerTask
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


class InWorker:
    """The assignment of one step to a worker.

    Args:
        pool: The runner's pool of workers.
        claim: The amounts that the step occupies; None when it follows another step in `behind`.
        behind: The worker whose running step it follows.
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
        """Return the step's present claim. It may have inherited it, or passed it on to its successor."""
        return self._task.claim if self._task is not None else self._claim

    def give_claim(self) -> None:
        """Note that its claim went to the step that follows by succession."""
        if self._task is not None:
            self._task.claim = None
        self._claim = None

    @property
    def submitted(self) -> bool:
        """Tell whether the step was given to a worker, or is about to be."""
        return self._task is not None

    async def submit(self, spec: WorkerSpec, task: WorkerTask) -> None:
        """Give the step to its promised worker, or to another one with its claim.

        Raises:
            Requeued: The step has no claim, and no worker to wait in.
            UserStepError, PlatformStepError: No worker can be started.
        """
        behind = self._arrive()
        follows = behind is not None and behind.fits(spec) and not behind.closed
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
        """Release the promised place, unless it was taken up or never promised."""
        behind = self._arrive()
        if behind is not None:
            behind.settle_idle()

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Deliver a signal to the step once it is in a worker."""
        if self._task is not None and self._task.worker is not None:
            self._task.worker.signal(self._task, signal)

    def renew(self, seconds: float) -> None:
        """Prolong the deadline; see `Child.renew`."""
        worker = self._task.worker if self._task is not None else None
        if worker is not None and worker.child is not None:
            worker.child.renew(seconds)

    def withdraw(self) -> bool:
        """Take the step back if it has not started; return whether that succeeded."""
        if self._task is None or self._task.worker is None:
            return False
        worker = self._task.worker
        recalled = _recall(worker, self._task)
        worker.settle_idle()
        return recalled

    def stop(self) -> None:
        """End the step, with its worker when it is running there."""
        if self._task is None or self._task.worker is None:
            return
        worker = self._task.worker
        _recall(worker, self._task)
        if self._task in worker.tasks:
            worker.close()
        else:
            worker.settle_idle()

    async def left_with_worker(self) -> bool:
        """Tell whether the worker was closed; if so, return when nothing of it is left."""
        worker = self._task.worker if self._task is not None else None
        if worker is None or not worker.closed:
            return False
        await worker.gone()
        return True

    def _arrive(self) -> WarmWorker | None:
        """Take up the promised place with the claim that may wait there; return None without a promise."""
        behind, self._behind = self._behind, None
        if behind is not None:
            claim = behind.arrive()
            self._claim = self._claim or claim
        return behind


def _recall(worker: WarmWorker, task: WorkerTask) -> bool:
    """Take back all steps that wait in a worker.

    Return whether `task` was among them; the others return to the queue.
    """
    recalled = False
    for waiting in reversed(worker.take_back()):
        if waiting is task:
            recalled = True
            task.settle(WorkerOutcome(ending=Ending(reason="stopped")))
        else:
            waiting.requeue()
    return recalled


def lane_of(request: step_pb2.StepRequest) -> tuple[str, ...]:
    """Return the step's lane: steps of one lane may follow each other in one worker."""
    spec = request.spec
    return spec.type, spec.code_bundle, spec.requirements_file, str(spec.isolation)
