"""An exit task that learns how the pipeline ended: Kubeflow Pipelines' exit_handler.py, pipeline_with_task_final_status.py."""

from __future__ import annotations

from kaon import Workflow, group, outcome, param, steps


def fail(message: str) -> None:
    """Fails."""
    raise SystemExit(message)


def tell(status: str, error: dict[str, object] | None, message: str) -> None:
    """Prints how it ended."""
    print(message, status, error and error["type"])


message = param("message", str, default="Hello World!")
show = steps.shell("print", ["echo", "${message}"], message=message)
failing = steps.python("fail", fail, message="Task failed.")
ended = outcome()
exit_task = steps.python(
    "exit-task", tell, status=ended["status"], error=ended["error"], message=message
)

workflow = Workflow("exit-handler", group(show | failing, name="guarded").finally_(exit_task))

EXPECTED = {
    "status": "FAILED",
    "steps": {"guarded/fail": "FAILED", "guarded/exit-task": "SUCCEEDED"},
    "logs": {"guarded/exit-task": "Hello World! FAILED ExitCode"},
}
