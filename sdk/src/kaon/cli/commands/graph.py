"""The command that prints a workflow as a diagram."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from kaon.cli import kinds, options, output
from kaon_wire.definitions import conditions
from kaonapi.workflow.v1 import definition_pb2 as d


def graph(
    file: options.WorkflowFile, workflow: options.WorkflowName = None, json: options.AsJson = False
) -> None:
    """Print the workflow of FILE as a Mermaid flowchart, which GitHub and many editors draw.

    \b
    kaon graph recommendations.py > workflow.mmd
    """
    definition = options.load(file, workflow).definition()
    if json:
        output.print_json(definition)
        return
    sys.stdout.write("\n".join(mermaid(definition)) + "\n")


def mermaid(definition: d.WorkflowDefinition) -> Iterator[str]:
    """Yield the lines of a flowchart."""
    yield "flowchart LR"
    if told := kinds.activity(definition):
        yield f"  %% {definition.name}: {told}"
    yield from _graph(definition.body, 1)


def _graph(body: d.Graph, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for block in body.blocks:
        inner = list(kinds.bodies(block))
        if not inner:
            yield f"{indent}{block.name}{_shape(block)}"
            continue
        yield f'{indent}subgraph {block.name}["{_title(block)}"]'
        for number, (heading, graph) in enumerate(inner):
            if heading:
                yield f'{indent}  subgraph {block.name}--{number}["{_quoted(heading)}"]'
                yield from _graph(graph, depth + 2)
                yield f"{indent}  end"
            else:
                yield from _graph(graph, depth + 1)
        yield f"{indent}end"
    blocks = {block.name: block for block in body.blocks}
    for edge in body.edges:
        rule = kinds.edge(edge, blocks[edge.target])
        arrow = f"-->|{rule}|" if rule else "-->"
        yield f"{indent}{edge.source} {arrow} {edge.target}"


def _title(block: d.Block) -> str:
    hook = kinds.PHASES.get(block.phase, "")
    start = f", when {conditions.describe(block.start)}" if block.HasField("start") else ""
    text = f"{block.name}: {kinds.describe(block)}{f', {hook}' if hook else ''}{start}"
    return _quoted(text)


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")


def _shape(block: d.Block) -> str:
    kind = block.WhichOneof("kind")
    left, right = {"gate": ('{{"', '"}}'), "sub_workflow": ('[["', '"]]')}.get(
        str(kind), ('["', '"]')
    )
    return f"{left}{_title(block)}{right}"
