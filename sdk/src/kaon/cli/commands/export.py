"""Commands that copy runs to other tools."""

from __future__ import annotations

from typing import Annotated

import typer

from kaon.cli import options, output
from kaon.client.mlflow_export import Target, export
from kaon_wire.texts import counted

app = typer.Typer(
    name="export",
    no_args_is_help=True,
    help="""Copy a run to another tool.

\b
kaon export mlflow RUN --to sqlite:///mlflow.db""",
)


@app.callback()
def _group() -> None:
    """Keep `mlflow` a command of its own, although it is the only one."""


@app.command()
def mlflow(
    run: options.RunId,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URI",
            help="MLflow's tracking URI, such as http://mlflow:5000 or sqlite:///mlflow.db.",
            show_default=False,
        ),
    ],
    experiment: Annotated[
        str,
        typer.Option(
            "--experiment", metavar="NAME", help="Name of the experiment; default: the workflow."
        ),
    ] = "",
    artifacts: Annotated[
        bool, typer.Option("--artifacts/--no-artifacts", help="Copy the artifacts of the run, too.")
    ] = True,
    state: options.State = None,
    server: options.Server = options.SERVER,
) -> None:
    """Copy the parameters, metrics and artifacts of an ended run to MLflow, as a run there. Needs kaon\\[mlflow].

    A second export of the same run is refused: its first copy is found by the tag kaon.run_id.

    \b
    kaon export mlflow 01JD3Z... --to http://mlflow:5000
    kaon export mlflow 01JD3Z... --to sqlite:///mlflow.db --experiment recommendations
    """
    with options.reached(server=server, state=state) as client:
        copied = export(client, run, Target(uri=to, experiment=experiment), artifacts=artifacts)
    output.say(
        f"Copied run {run} to run {copied.run_id} of the experiment {copied.experiment}: "
        f"{counted(copied.params, 'parameter')}, {counted(copied.metrics, 'metric value')}, "
        f"{counted(copied.artifacts, 'artifact')}."
    )
