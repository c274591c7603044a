"""Commands about runs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from kaon.cli import options, output, words
from kaon.cli.live import RunView
from kaon.client import Client, KaonError
from kaon.client import params as parameters
from kaon.dsl import load_workflow
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2, run_service_pb2

# Exit codes of `watch`: how the run ended.
EXIT_CODES = {run_pb2.STATUS_SUCCEEDED: 0, run_pb2.STATUS_CANCELLED: 2}
FAILED = 1


def submit(
    file: options.WorkflowFile,
    param: options.Params = None,
    key: Annotated[
        str,
        typer.Option(
            "--key", help="Idempotency key: a second submit with the same key gives the first one's run."
        ),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay and show the run until it ends, as kaon watch does.")
    ] = False,
    workflow: options.WorkflowName = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Register the workflow of FILE and start a run of it.

    \b
    kaon submit recommendations.py
    kaon submit recommendations.py -p min_ratings=30 -p 'regions=["US","CA"]' --watch
    kaon submit recommendations.py --key nightly-2026-11-23
    """
    loaded = load_workflow(file, workflow)
    params = parameters.parse(loaded.definition(), options.split_params(param))
    with options.client(server=server) as client:
        submitted = client.submit(loaded, params, key)
        _tell_submitted(submitted, json=json)
        if watch:
            _watch(client, submitted.run.run_id, RunView(loaded.definition()), json=json)


def list_runs(
    workflow: Annotated[str, typer.Option("--workflow", help="Only runs of this workflow.")] = "",
    status: Annotated[str, typer.Option("--status", help="Only runs of this status, such as failed.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 20,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List runs, newest first.

    \b
    kaon list
    kaon list --workflow recommendations --status failed --json
    """
    wanted = words.parse_status(status) if status else run_pb2.STATUS_UNSPECIFIED
    if wanted is None:
        known = ", ".join(name.removeprefix("STATUS_").lower() for name in run_pb2.Status.keys()[1:])
        raise typer.BadParameter(f"--status {status}: there is no such status; the statuses are {known}")
    with options.client(server=server) as client:
        runs = client.runs(workflow, wanted, limit)
    if json:
        for run in runs:
            output.print_json(run)
        return
    output.print_table(
        ("RUN", "WORKFLOW", "STATUS", "STEPS", "SUBMITTED", "TOOK"),
        (
            (
                run.run_id,
                run.workflow,
                _status(run.status),
                _steps(run),
                words.moment(run.create_time),
                _took(run),
            )
            for run in runs
        ),
        nothing="There are no such runs. Start one: kaon submit FILE",
    )


def show(run: options.RunId, server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """Show one run: its parameters, its steps, and why it failed.

    \b
    kaon show 01JD3Z...
    kaon show 01JD3Z... --json
    """
    with options.client(server=server) as client:
        found = client.run(run)
    if json:
        output.print_json(found)
        return
    _print_run(found.run)
    output.print_table(
        ("STEP", "STATUS", "ATTEMPT", "RUNNER", "TOOK", "DETAILS"),
        (
            (step.path, _status(step.status), str(step.attempt), step.runner_id, _took(step), _details(step))
            for step in found.steps
        ),
        nothing="No step has begun yet.",
    )


def watch(run: options.RunId, server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """Show a run live, until it ends. Exit code: 0 it succeeded, 1 it failed, 2 it was cancelled.

    \b
    kaon watch 01JD3Z...
    kaon watch 01JD3Z... --json | jq -c 'select(.event.step_ended)'
    """
    with options.client(server=server) as client:
        found = client.run(run).run
        definition = client.workflow(found.workflow, found.version).definition
        _watch(client, run, RunView(definition), json=json)


def cancel(
    run: options.RunId,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is shown with the run.")] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Ask a run to stop. Its steps are stopped with everything that they started.

    \b
    kaon cancel 01JD3Z... --reason "wrong cohort"
    """
    with options.client(server=server) as client:
        found = client.cancel(run, reason)
    if json:
        output.print_json(found)
    else:
        output.console().print(f"Run {found.run_id} is {words.status(found.status)}.")


def _watch(client: Client, run_id: str, view: RunView, *, json: bool) -> None:
    """Shows the run until it ends, and ends the process with the code that tells how."""
    updates = client.watch(run_id)
    if json:
        for update in updates:
            view.feed(update)
            output.print_json(update)
    else:
        view.follow(updates, output.console())
    if not view.ended:
        raise KaonError(f"run {run_id} was not seen to its end")
    raise typer.Exit(EXIT_CODES.get(view.status, FAILED))


def _tell_submitted(submitted: run_service_pb2.SubmitRunResponse, *, json: bool) -> None:
    if json:
        output.print_json(submitted)
        return
    what = "Submitted run" if submitted.created else "This key was used before, for run"
    output.console().print(f"{what} {submitted.run.run_id} of {submitted.run.workflow}.")


def _print_run(run: run_pb2.Run) -> None:
    out = output.console()
    out.print(
        Text.assemble((run.workflow, "bold"), f"  {run.run_id}  ", _status(run.status), f"  {_took(run)}")
    )
    out.print(
        f"version {run.version[:19]}  submitted {words.moment(run.create_time)} by {run.submitter or 'default'}"
    )
    for name, text in sorted(run.params_json.items()):
        out.print(f"  {name} = {text}", markup=False)
    if run.HasField("error"):
        out.print(Text(f"{run.error.type}: {run.error.message}", style="red"))


def _details(step: run_pb2.StepView) -> str:
    if step.HasField("error") and step.error.message:
        return f"{step.error.type}: {step.error.message}".splitlines()[0]
    if step.status == run_pb2.STATUS_SUCCEEDED:
        return "  ".join(f"{name}={_short(text)}" for name, text in sorted(step.outputs_json.items()))
    return step.progress_message


def _short(text: str) -> str:
    value = canonical.loads(text)
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        return f"{value['artifact'].get('type', 'artifact')} {str(value['artifact'].get('digest', ''))[:15]}"
    return text if len(text) <= 60 else text[:57] + "..."


def _status(status: run_pb2.Status.ValueType) -> Text:
    return Text(words.status(status), style=words.LOOKS[status][1])


def _steps(run: run_pb2.Run) -> str:
    return f"{run.steps_succeeded}/{run.steps_total}"


def _took(timed: run_pb2.Run | run_pb2.StepView) -> str:
    if not (timed.HasField("start_time") and timed.HasField("end_time")):
        return ""
    return words.duration(timed.end_time.ToNanoseconds() / 1e9 - timed.start_time.ToNanoseconds() / 1e9)
