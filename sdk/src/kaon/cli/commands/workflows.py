"""Commands that show and check workflow definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from kaon.cli import formatting, kinds, options, output, registered
from kaon.dsl import Workflow, types
from kaon_wire.definitions import conditions
from kaon_wire.texts import counted
from kaon_wire.value_types import is_required, name_of
from kaonapi.workflow.v1 import definition_pb2

app = typer.Typer(help="Show registered workflows.", no_args_is_help=True)


@app.command("list")
def list_workflows(server: options.Server = options.SERVER, json: options.AsJson = False) -> None:
    """List the current version of every workflow.

    \b
    kaon workflows list
    """
    with options.client(server=server) as client:
        found = client.workflows()
    if json:
        for workflow in found:
            output.print_json(workflow)
        return
    output.print_table(
        ("WORKFLOW", "VERSION", f"REGISTERED ({formatting.zone()})", "DESCRIPTION"),
        (
            (
                each.name,
                each.version[:19],
                formatting.moment_in_column(each.create_time),
                each.definition.description,
            )
            for each in found
        ),
        nothing="No workflow is registered. Submit a run to register one: kaon submit FILE",
    )


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the workflow.", show_default=False)
    ],
    version: Annotated[
        str,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="Workflow version, sha256:...; default: the current one.",
        ),
    ] = "",
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Show a workflow: parameters, blocks and steps.

    \b
    kaon workflows show recommendations
    """
    with options.client(server=server) as client:
        found = registered.named(client, name, version)
    if json:
        output.print_json(found)
        return
    output.console().print(f"registered {formatting.moment(found.create_time)}", style="dim")
    print_definition(found.definition, found.version)


def register(
    file: options.WorkflowFile,
    workflow: options.WorkflowName = None,
    server: options.Server = options.SERVER,
    json: options.AsJson = False,
) -> None:
    """Register the workflow of FILE with its code, without a run. Schedules and `kaon submit NAME` use the newest version.

    \b
    kaon register recommendations.py
    kaon submit recommendations
    """
    loaded = options.load(file, workflow)
    with options.client(server=server) as client:
        found = client.register(loaded)
    if json:
        output.print_json(found)
        return
    what = "Registered" if found.created else "Already registered:"
    output.say(f"{what} {found.workflow.name}, version {found.workflow.version[:19]}.")


def validate(
    file: options.WorkflowFile, workflow: options.WorkflowName = None, json: options.AsJson = False
) -> None:
    """Check the workflow of FILE without a server, and show its parameters, blocks and steps.

    \b
    kaon validate recommendations.py
    kaon validate recommendations.py --json | jq .definition.body
    """
    loaded = options.load(file, workflow)
    definition = loaded.definition()
    if json:
        output.print_json(_summary(loaded, definition))
        return
    print_definition(definition, loaded.version)
    if definition.code_bundle:
        bundle = loaded.bundle()
        output.console().print(
            f"code bundle: {counted(len(bundle.files), 'file')}, {formatting.size(len(bundle.data))}",
            style="dim",
        )


def print_definition(definition: definition_pb2.WorkflowDefinition, version: str) -> None:
    """Print a definition as an indented list."""
    out = output.console()
    out.print(f"[bold]{definition.name}[/]  {version[:19]}")
    if definition.description:
        out.print(definition.description, markup=False)
    if told := kinds.activity(definition):
        out.print(f"  {told}", markup=False)
    for parameter in definition.parameters:
        default = f" = {parameter.default_json}" if parameter.HasField("default_json") else ""
        if is_required(parameter):
            default = " (required)"
        if parameter.HasField("computed"):
            default = " (computed)"
        about = f"  {parameter.description}" if parameter.description else ""
        if parameter.choices_json:
            about += f"  one of {', '.join(parameter.choices_json)}"
        if parameter.constraint_cel:
            about += f"  {parameter.constraint_cel}"
        out.print(
            f"  parameter {parameter.name}: {name_of(parameter)}{default}{about}",
            markup=False,
            soft_wrap=True,
        )
    if policy := kinds.on_error(definition.on_error):
        out.print(f"  on error{policy.replace(',', ':')}", markup=False)
    for line in _lines(definition.body, 1):
        out.print(line, markup=False, soft_wrap=True)
    for name, given in sorted(definition.outputs.items()):
        out.print(f"  output {name}: {types.name_of(given.type)}", markup=False)


def _summary(
    workflow: Workflow, definition: definition_pb2.WorkflowDefinition
) -> dict[str, object]:
    return {
        "name": workflow.name,
        "version": workflow.version,
        "definition": output.as_dict(definition),
        "bundle_files": list(workflow.bundle().files) if definition.code_bundle else [],
    }


def _lines(graph: definition_pb2.Graph, depth: int) -> Iterator[str]:
    before: dict[str, list[str]] = {}
    for edge in graph.edges:
        before.setdefault(edge.target, []).append(edge.source)
    indent = "  " * depth
    for block in graph.blocks:
        yield f"{indent}{block.name}: {kinds.describe(block)}{_when(block, before.get(block.name, []))}"
        for heading, body in kinds.bodies(block):
            if heading:
                yield f"{indent}  {heading}:"
            yield from _lines(body, depth + 2 if heading else depth + 1)


def _when(block: definition_pb2.Block, before: list[str]) -> str:
    """Describe when a block starts."""
    phase, rule = kinds.PHASES.get(block.phase, ""), kinds.RULES.get(block.trigger, "")
    after = f"  after {rule}{', '.join(before)}" if before else ""
    if block.HasField("start"):
        after = f"  when {conditions.describe(block.start)}"
    return f"{f'  {phase}' if phase else ''}{after}"
