"""Commands that submit, list and watch runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, TypedDict, Unpack

import typer

from kaon.cli import each as each_line
from kaon.cli import formatting, options, output, param_lines, registered
from kaon.cli.following import Follower
from kaon.cli.live import RunView
from kaon.cli.log_selection import moment_us
from kaon.cli.values import brief, json_or_text, named, status_text, took
from kaon.client import Client, KaonError, placement
from kaon.client import params as parameters
from kaon.dsl import Workflow
from kaon_wire import canonical
from kaon_wire.texts import meant
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2

# Submits a run, and returns it with its definition.
Submission: TypeAlias = Callable[
    [Client], tuple[run_service_pb2.SubmitRunResponse, definition_pb2.WorkflowDefinition]
]


class SubmitOptions(TypedDict, total=False):
    """The options of a submission, as `Client.submit` takes them."""

    key: str
    priority: int
    labels: dict[str, str]
    only: Collection[str]
    until: Collection[str]


def submit(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="A Python file that defines a Workflow, or the name of a registered workflow.",
            show_default=False,
        ),
    ],
    param: options.Params = None,
    *,
    key: options.Key = "",
    priority: options.Priority = 0,
    label: options.Labels = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="STEP",
            help="Run this step or block alone; repeat for more. What does not run gives nulls.",
        ),
    ] = None,
    until: options.Until = None,
    version: Annotated[
        str,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Of NAME: workflow version, sha256:...; default: the current one.",
        ),
    ] = "",
    each: Annotated[
        Path | None,
        typer.Option(
            "--each",
            metavar="FILE",
            help="Submit a run for each line of FILE, - for standard input: JSON objects, or CSV under names of parameters.",
            show_default=False,
        ),
    ] = None,
    validate_only: Annotated[
        bool,
        typer.Option("--validate-only", help="With --each: check all lines, and submit nothing."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --each: wait until all runs have ended.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Watch the run until it ends, as `kaon watch` does.")
    ] = False,
    prints: options.Prints = False,
    workflow: options.WorkflowName = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Register the workflow of FILE and submit a run of it, or submit a run of the registered workflow NAME.

    \b
    kaon submit recommendations.py
    kaon submit recommendations.py -p min_ratings=30 -p 'regions=["US","CA"]' --watch
    kaon submit recommendations.py --key nightly-2026-11-23
    kaon submit recommendations.py --label team=search --label why=backtest
    kaon submit recommendations.py --until train    # train and what comes before it
    kaon submit recommendations -p min_ratings=30   # what is registered (kaon register, kaon workflows list)
    kaon submit recommendations --each days.csv --key backtest --wait

    With --each, lines that are wrong are named and the others are submitted. -p gives what a line does not, and with --key a
    second call makes no second run: the key of a line is KEY and its number.
    """
    options_given: SubmitOptions = {
        "key": key,
        "priority": priority,
        "labels": options.split_labels(label, may_lack_value=False),
        "only": only or (),
        "until": until or (),
    }
    if options.is_file(target) and version:
        raise typer.BadParameter(
            "--version is for the NAME of a registered workflow, not for a file"
        )
    if each is not None:
        if watch or prints:
            raise typer.BadParameter("--watch and --logs show one run; use --wait with --each")
        lines = _Lines(target, workflow, version, each, validate_only=validate_only, wait=wait)
        raise typer.Exit(lines.submit(param, options_given, server=server, json=json))
    if validate_only or wait:
        raise typer.BadParameter(
            "--validate-only and --wait are for --each; --watch stays until one run ends"
        )
    if options.is_file(target):
        loaded, params = prepare(Path(target), workflow, param)
        what = of_file(loaded, params, **options_given)
    else:
        what = _of_name(target, version, options.split_params(param), **options_given)
    code = start(what, watch=watch or prints, prints=prints, server=server, json=json)
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Lines:
    """The lines of a file, and what is done with them."""

    target: str
    workflow: str | None
    version: str
    file: Path
    _: KW_ONLY
    validate_only: bool
    wait: bool

    def submit(
        self, param: list[str] | None, how: SubmitOptions, *, server: str, json: bool
    ) -> int:
        """Submit a run for each line, or check the lines. Return the exit code."""
        with options.client(server=server) as client, param_lines.opened(self.file) as stream:
            name, version, definition = self._registered(client)
            # A file that all runs are given is stored once.
            given = parameters.parse(definition, options.split_params(param))
            texts = client.encode_params(definition, given, complete=False)
            common = each_line.EachRun(
                name=name,
                version=version,
                definition=definition,
                params={each: canonical.loads(text) for each, text in texts.items()},
                validate_only=self.validate_only,
                **how,
            )
            submitted = each_line.EachLine(client, common, json=json)
            code = submitted.submit(param_lines.read(stream, definition))
            if not self.validate_only:
                _warn(client, definition)
            if self.wait and submitted.run_ids:
                ended = each_line.wait(client, submitted.run_ids, json=json)
                code = code or ended
        return code

    def _registered(self, client: Client) -> tuple[str, str, definition_pb2.WorkflowDefinition]:
        if not options.is_file(self.target):
            found = registered.named(client, self.target, self.version)
            return found.name, found.version, found.definition
        loaded = options.load(Path(self.target), self.workflow)
        # A file that is only checked does not become the current version.
        made = client.register(loaded, aside=self.validate_only).workflow
        return made.name, made.version, loaded.definition()


def prepare(
    file: Path, workflow: str | None, param: list[str] | None
) -> tuple[Workflow, dict[str, object]]:
    """Load the workflow of a file and parse the -p options for it."""
    loaded = options.load(file, workflow)
    return loaded, parameters.parse(loaded.definition(), options.split_params(param))


def of_file(
    loaded: Workflow,
    params: dict[str, object],
    **how: Unpack[SubmitOptions],
) -> Submission:
    """Return the submission of a workflow that a file defines."""

    def submitted(
        client: Client,
    ) -> tuple[run_service_pb2.SubmitRunResponse, definition_pb2.WorkflowDefinition]:
        run = client.submit(loaded, params, **how)
        return run.response, loaded.definition()

    return submitted


def _of_name(
    name: str,
    version: str,
    texts: dict[str, str],
    **how: Unpack[SubmitOptions],
) -> Submission:
    def submitted(
        client: Client,
    ) -> tuple[run_service_pb2.SubmitRunResponse, definition_pb2.WorkflowDefinition]:
        found = registered.named(client, name, version)
        encoded = client.encode_params(found.definition, parameters.parse(found.definition, texts))
        given: SubmitOptions = {"key": "", **how}
        answer = client.submit_encoded(name, found.version, encoded, **given)
        return answer, found.definition

    return submitted


def start(
    submission: Submission,
    *,
    tells: bool = True,
    watch: bool,
    owns: bool = False,
    prints: bool = False,
    server: str,
    json: bool,
    submitted: Callable[[str], None] | None = None,
) -> int:
    """Submit a run and, with `watch`, show it until it ends. Return the exit code.

    Args:
        submission: what is submitted.
        tells: says which run it is.
        watch: stays until the run ends.
        owns: Ctrl-C cancels the run.
        prints: shows what the steps print, too.
        server: address of the coordinator.
        json: prints lines of JSON.
        submitted: gets the id of the run before it is watched.
    """
    with options.client(server=server) as client:
        answer, definition = submission(client)
        if tells:
            _tell_submitted(answer, json=json)
        if submitted is not None:
            submitted(answer.run.run_id)
        if not owns:
            _warn(client, definition)
        if not watch:
            return 0
        view = _view(definition, server, prints=prints)
        return Follower(
            client, answer.run.run_id, definition, view, json=json, prints=prints, owns=owns
        ).follow()


def _warn(client: Client, definition: definition_pb2.WorkflowDefinition) -> None:
    """Say which steps no runner can take now, or start now. The run is submitted: runners may come."""
    with suppress(KaonError):
        for problem in placement.problems(client, definition):
            output.note(
                f"warning: {problem}. The run waits there until one comes; see kaon pools and kaon doctor."
            )
        for build in placement.builds(client, definition):
            output.note(f"warning: {build}. They start there when it is there; see kaon runners.")


def list_runs(
    workflow: Annotated[
        str, typer.Option("--workflow", metavar="NAME", help="List only runs of this workflow.")
    ] = "",
    status: Annotated[
        str,
        typer.Option(
            "--status", metavar="STATUS", help="List only runs of this status, such as failed."
        ),
    ] = "",
    label: options.HasLabels = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--param",
            metavar="NAME=JSON",
            help="List only runs whose parameter has this value; repeat for more.",
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="List only runs submitted since then: 2h (ago), or 2026-12-01T08:00.",
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="Most runs to list.")
    ] = 20,
    state: options.State = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """List runs, newest first.

    \b
    kaon list
    kaon list --workflow recommendations --status failed --json
    kaon list --label team=search --label why
    kaon list --param day=2026-12-01 --since 7d
    """
    wanted = formatting.parse_status(status) if status else run_pb2.STATUS_UNSPECIFIED
    if wanted is None:
        known = [name.removeprefix("STATUS_").lower() for name in run_pb2.Status.keys()[1:]]
        hint = meant(status.lower(), known, most=1) or f"use one of {', '.join(known)}"
        raise typer.BadParameter(f"--status {status!r} is unknown; {hint}")
    labels = options.split_labels(label, may_lack_value=True)
    values = {name: json_or_text(text) for name, text in options.split_params(param).items()}
    with options.reached(server=server, state=state) as client:
        runs = client.runs(
            workflow, wanted, limit, labels, params=values, since_us=moment_us(since, "--since")
        )
        if workflow and not runs and not json:
            registered.named(client, workflow)
    if json:
        for run in runs:
            output.print_json(run)
        return
    output.print_table(
        (
            *("RUN", "WORKFLOW", "STATUS", "STEPS", f"SUBMITTED ({formatting.zone()})"),
            *("TOOK", "LABELS", "PARAMS"),
        ),
        (
            (
                run.run_id,
                run.workflow,
                status_text(run.status),
                _steps(run),
                formatting.moment_in_column(run.create_time),
                took(run),
                " ".join(f"{name}={value}" for name, value in sorted(run.labels.items())),
                " ".join(
                    f"{name}={brief(text, 24)}" for name, text in sorted(run.params_json.items())
                ),
            )
            for run in runs
        ),
        nothing="No run is such as you ask for."
        if workflow or status or labels or values or since
        else "No runs found. Submit one: kaon submit FILE",
    )


def watch(
    run: options.RunId,
    prints: options.Prints = False,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Watch a run until it ends. Exit codes: 0 succeeded, 1 failed, 2 cancelled.

    \b
    kaon watch 01JD3Z...
    kaon watch 01JD3Z... --logs                     # with what the steps print
    kaon watch 01JD3Z... --json | jq -c 'select(.event.step_ended)'
    """
    with options.client(server=server) as client:
        found = client.summary(run)
        definition = client.workflow(found.workflow, found.version).definition
        view = _view(definition, server, prints=prints)
        code = Follower(client, run, definition, view, json=json, prints=prints).follow()
    raise typer.Exit(code)


def _view(definition: definition_pb2.WorkflowDefinition, server: str, *, prints: bool) -> RunView:
    # The log of a step ends with its traceback.
    return RunView(definition, server=options.unless_found(server), tracebacks=not prints)


def _tell_submitted(submitted: run_service_pb2.SubmitRunResponse, *, json: bool) -> None:
    if json:
        output.print_json(submitted)
        return
    what = "Submitted run" if submitted.created else "Key already used by run"
    output.say(f"{what} {submitted.run.run_id} of {named(submitted.run)}.")


def _steps(run: run_pb2.Run) -> str:
    return f"{run.steps_succeeded}/{run.steps_total}"
